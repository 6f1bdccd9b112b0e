(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const DASHES = ["none", "8 6", "0.1 5", "9 5 0.1 5"]; // what tells the evidence pairs of a relation apart

  function draw(parent, name, attributes) {
    const element = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    parent.append(element);
    return element;
  }

  function setUp(section) {
    const all = (selector) => [...section.querySelectorAll(selector)];
    const one = (selector) => section.querySelector(selector);
    const page = one(".docre-page");
    const list = one(".docre-list");
    const mentions = all(".docre-mention");
    const relations = all("tr[data-relation]").map((row) => ({
      row,
      id: Number(row.dataset.relation),
      head: Number(row.dataset.head),
      tail: Number(row.dataset.tail),
      names: [row.cells[1].textContent, row.cells[3].textContent],
      label: row.cells[2].textContent.trim(),
      score: Number(row.cells[0].dataset.key),
      evidence: JSON.parse(row.dataset.evidence),
      sentences: JSON.parse(row.dataset.sentences),
    }));
    const edges = all(".docre-edge").map((element) => ({
      element,
      text: element.querySelector("text"),
      caption: element.querySelector("text").textContent,
      relations: element.dataset.relations.split(" ").map(Number),
    }));
    const labels = Object.fromEntries(relations.map((r) => [r.id, r.label]));
    // What the pointer is on, what the keys are on, what was clicked: the first of them that is there is shown.
    let [pointed, focused, pinned] = [null, null, null];
    const current = () => pointed ?? focused ?? pinned;

    // What lights up

    function targetOf(element) {
      const found = element.closest("[data-relation], [data-relations], [data-entity], [data-at]");
      if (!found) return null;
      const { relation, relations, entity, at } = found.dataset;
      if (relation !== undefined) return { relations: [Number(relation)] };
      if (relations !== undefined) return { relations: relations.split(" ").map(Number) };
      return entity !== undefined ? { entity: Number(entity) } : { mention: Number(at) };
    }

    const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

    function lit(target) {
      const on = { entities: new Set(), mentions: new Set(), sentences: new Set(), relations: new Set(), arcs: new Map() };
      if (target?.mention !== undefined) on.mentions.add(target.mention);
      if (target?.entity !== undefined) {
        on.entities.add(target.entity);
        mentions.filter((m) => m.dataset.entity === String(target.entity)).forEach((m) => on.mentions.add(Number(m.dataset.mention)));
        relations.filter((r) => r.head === target.entity || r.tail === target.entity).forEach((r) => on.relations.add(r.id));
      }
      for (const id of target?.relations ?? []) {
        const r = relations.find((other) => other.id === id);
        on.relations.add(id);
        [r.head, r.tail].forEach((entity) => on.entities.add(entity));
        r.sentences.forEach((s) => on.sentences.add(s));
        r.evidence.forEach(([head, tail]) => on.mentions.add(head).add(tail));
        r.evidence.forEach(([head, tail, weight]) => {
          const key = `${head} ${tail}`; // of several relations the pair is drawn once
          const dash = DASHES[on.arcs.size % DASHES.length];
          const known = on.arcs.get(key) ?? { head, tail, weight, dash };
          on.arcs.set(key, { ...known, weight: Math.max(weight, known.weight) });
        });
        if (!r.evidence.length) {
          mentions.filter((m) => [r.head, r.tail].includes(Number(m.dataset.entity))).forEach((m) => on.mentions.add(Number(m.dataset.mention)));
        }
      }
      return on;
    }

    function show() {
      const target = current();
      const on = lit(target);
      const near = new Set(on.entities);
      if (target?.entity !== undefined) {
        relations.filter((r) => on.relations.has(r.id)).forEach((r) => near.add(r.head).add(r.tail));
      }
      const mark = (element, is) => element.classList.toggle("docre-on", is);
      section.classList.toggle("docre-busy", near.size > 0);
      section.classList.toggle("docre-reading", on.sentences.size > 0);
      mentions.forEach((m) => mark(m, on.mentions.has(Number(m.dataset.mention))));
      all(".docre-sentence").forEach((s) => mark(s, on.sentences.has(Number(s.dataset.sentence))));
      relations.forEach((r) => mark(r.row, on.relations.has(r.id)));
      for (const e of edges) {
        const shown = e.relations.filter((id) => on.relations.has(id));
        const named = Boolean(target?.relations) && shown.length > 0;
        mark(e.element, shown.length > 0);
        e.element.classList.toggle("docre-named", named);
        e.text.textContent = named ? shown.map((id) => labels[id]).join(", ") : e.caption;
      }
      all(".docre-node").forEach((n) => mark(n, near.has(Number(n.dataset.entity))));
      drawArcs(on.arcs);
      describe(target, on);
    }

    function pin(target, source) {
      pinned = same(target, pinned) ? null : target;
      all("[aria-pressed]").forEach((button) => {
        button.setAttribute("aria-pressed", String(pinned !== null && same(targetOf(button), pinned)));
      });
      show();
      if (pinned) reveal(source);
    }

    function reveal(source) {
      for (const [box, selector] of [[page, ".docre-mention.docre-on"], [list, "tr.docre-on:not([hidden])"]]) {
        const first = box?.querySelector(selector);
        if (!first || box.contains(source)) continue;
        const [outer, inner] = [box.getBoundingClientRect(), first.getBoundingClientRect()];
        if (inner.top < outer.top + 30 || inner.bottom > outer.bottom) box.scrollTop += inner.top - outer.top - outer.height / 3;
      }
    }

    // Lines between the mentions of evidence pairs

    function drawArcs(arcs) {
      const canvas = one(".docre-arcs");
      canvas.replaceChildren();
      const origin = canvas.getBoundingClientRect();
      const lines = [];
      for (const arc of arcs.values()) {
        const [first, second] = [arc.head, arc.tail].map((id) => [...one(`[data-mention="${id}"]`).getClientRects()]);
        if (!first.length || !second.length) return; // nothing of this document is laid out, in a closed tab say
        const drop = second[0].top - first[0].top;
        const down = drop > 0;
        // Between lines of text: from the last line of the upper mention to the first line of the lower one.
        const rects = Math.abs(drop) < 8 ? [first[0], second[0]] : down ? [first.at(-1), second[0]] : [first[0], second.at(-1)];
        const level = Math.abs(rects[0].top - rects[1].top) < 8;
        lines.push({ ...arc, level, down, rects, x: rects.map((r) => r.x + r.width / 2 - origin.x) });
      }
      // Ends that would lie on one another stand side by side.
      const ends = lines.flatMap((line) => [0, 1].map((i) => ({ line, i, id: i ? line.tail : line.head, other: line.x[1 - i] })));
      for (const id of new Set(ends.map((end) => end.id))) {
        const here = ends.filter((end) => end.id === id).sort((a, b) => a.other - b.other);
        here.forEach(({ line, i }, n) => {
          line.x[i] += (n - (here.length - 1) / 2) * Math.min(10, (0.8 * line.rects[i].width) / here.length);
        });
      }
      for (const { weight, dash, level, down, rects, x } of lines) {
        const y = rects.map((r, i) => (level || down === Boolean(i) ? r.top : r.bottom) - origin.y);
        const reach = level ? -Math.min(22, 8 + Math.abs(x[0] - x[1]) / 12) : (y[1] - y[0]) / 2;
        const d = `M${x[0]} ${y[0]}C${x[0]} ${y[0] + reach} ${x[1]} ${level ? y[1] + reach : y[1] - reach} ${x[1]} ${y[1]}`;
        const opacity = 0.45 + 0.5 * weight;
        draw(canvas, "path", { d, "stroke-opacity": opacity, "stroke-width": 1.2 + 1.5 * weight, "stroke-dasharray": dash });
        draw(canvas, "circle", { cx: x[1], cy: y[1], r: 3.5, "fill-opacity": opacity });
      }
    }

    // The line below the text

    function describe(target, on) {
      const detail = one(".docre-detail");
      detail.replaceChildren();
      const say = (...parts) => {
        const line = document.createElement("span");
        line.append(...parts);
        detail.append(line, " ");
        return line;
      };
      const tag = (name, ...parts) => {
        const element = document.createElement(name);
        element.append(...parts);
        return element;
      };
      const quote = (id) => tag("bdi", readMention(id));
      const chosen = relations.filter((r) => target?.relations?.includes(r.id));
      for (const r of chosen.slice(0, 4)) {
        const [head, tail] = r.names.map((name) => tag("b", tag("bdi", name)));
        say(head, " ", tag("bdi", r.label), " ", tail, ` ${r.score.toFixed(2)}`).className = "docre-fact";
        r.evidence.slice(0, 4).forEach(([head, tail, weight]) => {
          const line = say(quote(head), " → ", quote(tail), ` ${Math.round(100 * weight)} %`);
          const sample = draw(line, "svg", { viewBox: "0 0 30 8", "aria-hidden": "true" });
          draw(sample, "path", { d: "M2 4H28", "stroke-dasharray": on.arcs.get(`${head} ${tail}`).dash });
          line.prepend(sample);
        });
        if (r.sentences.length) say(`sentence ${r.sentences.map((s) => s + 1).join(", ")}`);
      }
      if (target?.entity !== undefined) {
        const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
        const names = new Set([...on.mentions].map(readMention));
        [...names].slice(0, 6).forEach((name) => say(tag("b", tag("bdi", name))));
        say(`${count(on.mentions.size, "mention")}, ${count(on.relations.size, "relation")}`);
      }
    }

    function readMention(id) {
      return all(`[data-mention="${id}"]`).map((piece) => piece.textContent).join("");
    }

    // Filters and order

    function filter() {
      const least = Number(one(".docre-min-score").value);
      const label = one(".docre-label").value;
      const name = one(".docre-entity").value.trim().toLowerCase();
      one(".docre-filters output").value = least.toFixed(2);
      const kept = relations.filter((r) => {
        const keep =
          r.score >= least && (!label || r.label === label) && (!name || r.names.some((n) => n.toLowerCase().includes(name)));
        r.row.hidden = !keep;
        return keep;
      });
      const ids = new Set(kept.map((r) => r.id));
      const nodes = new Set(kept.flatMap((r) => [r.head, r.tail]));
      edges.forEach((e) => e.element.toggleAttribute("hidden", !e.relations.some((id) => ids.has(id))));
      all(".docre-node").forEach((n) => n.toggleAttribute("hidden", !nodes.has(Number(n.dataset.entity))));
      one(".docre-count").textContent = `${kept.length} of ${relations.length}`;
      restartFocus(list, "button[aria-pressed]");
    }

    function sort(header) {
      const column = header.cellIndex;
      const key = [(r) => r.score, (r) => r.names[0], (r) => r.label, (r) => r.names[1]][column];
      const before = header.getAttribute("aria-sort");
      const down = before === "none" ? column === 0 : before === "ascending";
      const compare = (a, b) => (column === 0 ? a - b : a.localeCompare(b));
      all("th[aria-sort]").forEach((th) => th.setAttribute("aria-sort", "none"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const ordered = [...relations].sort((a, b) => (down ? -1 : 1) * compare(key(a), key(b)));
      one("tbody").append(...ordered.map((r) => r.row));
      restartFocus(list, "button[aria-pressed]");
    }

    // Keys: one stop of Tab each for text, table and graph, arrows within

    const stops = (box, selector) => [...box.querySelectorAll(selector)].filter((e) => !e.closest("[hidden]"));

    function restartFocus(box, selector) {
      stops(box, selector).forEach((element, i) => element.setAttribute("tabindex", i ? -1 : 0));
    }

    function rove(box, selector) {
      if (!box) return;
      restartFocus(box, selector);
      box.addEventListener("keydown", (event) => {
        const found = stops(box, selector);
        const at = found.indexOf(event.target.closest(selector));
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (at < 0 || !step) return;
        event.preventDefault();
        const next = found[Math.min(Math.max(at + step, 0), found.length - 1)];
        found[at].setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      });
    }

    rove(page, ".docre-mention[role]");
    rove(list, "tbody button");
    rove(one(".docre-graph"), ".docre-node");
    const point = (target) => {
      if (same(target, pointed)) return;
      pointed = target;
      show();
    };
    // Not pointerover: that comes as well when the page moves below a pointer at rest, and would undo what keys show.
    section.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") point(targetOf(event.target));
    });
    section.addEventListener("pointerleave", () => point(null));
    const resized = new ResizeObserver(() => drawArcs(lit(current()).arcs));
    [page, one(".docre-text")].forEach((box) => resized.observe(box));
    section.addEventListener("focusin", (event) => {
      if (!event.target.matches(":focus-visible")) return;
      [focused, pointed] = [targetOf(event.target), null];
      show();
      if (focused) reveal(event.target);
    });
    section.addEventListener("focusout", () => {
      focused = null;
      show();
    });
    section.addEventListener("click", (event) => {
      const header = event.target.closest("th[aria-sort]");
      const target = targetOf(event.target);
      if (header) sort(header);
      else if (target) pin(target, event.target);
      else if (pinned && page.contains(event.target)) pin(pinned);
    });
    section.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && pinned) pin(pinned);
      const button = event.target.closest("[role=button]");
      if (button && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        pin(targetOf(button), button);
      }
    });
    if (list) {
      one(".docre-filters").addEventListener("input", filter);
      filter();
    }
  }

  // Whatever fragments of the page are not set up yet, be it this one or another.
  for (const section of document.querySelectorAll(".docre-doc:not([data-ready])")) {
    section.dataset.ready = "";
    setUp(section);
  }
})();
