// The page's side of *Hardware sizing*: sends needs, filters, the order and the chosen rows; shows the answer. No arithmetic.
// `widget.js` stands before it.
function render({ model, el }) {
  const standalone = model.get("standalone");
  const root = framed(model, el);
  const find = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const showParts = partsOf(root);
  const later = new Map();
  let asked = {};
  let waiting = false;
  let queue = null;
  let dim = 0;
  let address = 0;

  const plain = (text) => text.trim().replace(/(\d),(?=\d{3})/g, "$1");
  const pretty = (text) => (/^\d{4,}$/.test(text) ? Number(text).toLocaleString("en-US") : text);
  function flush() {
    if (waiting || !queue) return;
    waiting = true;
    dim = setTimeout(() => root.classList.add("gm-slow"), 400);
    root.setAttribute("aria-busy", "true");
    model.send({ kind: "change", changes: queue });
    queue = null;
  }
  function change(name, text) {
    clearTimeout(later.get(name));
    if ((asked[name] || "") === text) return;
    asked[name] = text;
    queue = { ...queue, [name]: text };
    flush();
  }
  function setSlider(slider, text) {
    const stops = slider.dataset.stops.split(" ").map(Number);
    const value = Number(text);
    if (!Number.isFinite(value) || text === "") return;
    let best = 0;
    stops.forEach((stop, i) => {
      if (Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
    });
    slider.value = best;
    slider.setAttribute("aria-valuetext", value.toLocaleString("en-US"));
  }
  function showFields(view) {
    for (const field of all("[data-name]")) {
      const { name } = field.dataset;
      const text = view.values[name] || "";
      if (field.type === "checkbox") field.checked = text === "yes";
      else if (field !== document.activeElement || plain(field.value) === text) {
        if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) {
          field.add(new Option(text, text));
        }
        if (plain(field.value) !== text || field.tagName === "SELECT") field.value = field.type === "text" ? pretty(text) : text;
      }
      field.toggleAttribute("aria-invalid", false);
      if (view.errors[name]) field.setAttribute("aria-invalid", "true");
      const slider = find(`[data-slider="${name}"]`);
      if (slider && slider !== document.activeElement) setSlider(slider, text);
    }
    for (const line of all("[data-error]")) {
      line.textContent = view.errors[line.dataset.error] || "";
      line.hidden = !line.textContent;
    }
  }
  function showLink(query) {
    const kept = standalone ? new URLSearchParams(location.search).get("theme") : null;
    const full = kept ? `${query}&theme=${encodeURIComponent(kept)}` : query;
    find(".gm-link").hidden = !standalone;
    find("[data-link]").href = location.pathname + full;
    find("[data-query]").textContent = query;
    clearTimeout(address);
    if (standalone && location.search !== full) {
      address = setTimeout(() => history.replaceState(null, "", location.pathname + full), 200);
    }
  }
  function show(view) {
    clearTimeout(dim);
    root.classList.remove("gm-slow");
    root.classList.toggle("gm-old", view.stale);
    root.removeAttribute("aria-busy");
    showParts(view.parts);
    asked = { ...view.values, ...queue };
    showFields(view);
    showLink(view.query);
    root.dataset.state = view.state;
    root.dataset.serial = view.serial;
    waiting = false;
    flush();
  }
  function showLater(answer) {
    showParts(answer.parts);
    root.dataset.later = answer.serial;
  }
  function hear(message) {
    for (const [name, act] of [["view", show], ["later", showLater]]) {
      if (!message[name]) continue;
      act(message[name]);
      setTimeout(() => model.set(name, message[name]), 0); // for a second view of this widget
    }
  }
  root.addEventListener("input", (event) => {
    const field = event.target;
    if (field.dataset.slider) {
      const text = field.dataset.stops.split(" ")[field.value];
      find(`[data-name="${field.dataset.slider}"]`).value = pretty(text);
      field.setAttribute("aria-valuetext", pretty(text));
      change(field.dataset.slider, text);
    } else if (field.dataset.name && field.type === "text") {
      clearTimeout(later.get(field.dataset.name));
      later.set(field.dataset.name, setTimeout(() => change(field.dataset.name, plain(field.value)), 450));
    }
  });
  root.addEventListener("change", (event) => {
    const field = event.target;
    if (field.dataset.beside) {
      const chosen = all("[data-beside]").filter((box) => box.checked).map((box) => box.dataset.beside);
      // A third one takes the place of the first.
      const last = chosen.filter((key) => key !== field.dataset.beside).slice(-1);
      change("compare", (field.checked ? [...last, field.dataset.beside] : chosen).join(","));
    } else if (field.dataset.name) {
      change(field.dataset.name, field.type === "checkbox" ? (field.checked ? "yes" : "") : plain(field.value));
    }
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const row = event.target.closest("tr[data-key]");
    if (button && button.dataset.sort) {
      const now = asked.sort || "";
      change("sort", now === button.dataset.sort ? `-${button.dataset.sort}` : button.dataset.sort);
    } else if (button && button.dataset.clear) {
      change(button.dataset.clear, "");
    } else if (row && !event.target.closest("a, input, label")) {
      change("row", asked.row === row.dataset.key ? "" : row.dataset.key);
    }
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // a notebook's own keys must not act on what is typed here
    if (event.key === "Escape" && asked.row && event.target.closest("table")) change("row", "");
  });
  root.addEventListener("submit", (event) => event.preventDefault());

  model.on("msg:custom", hear);
  copyButtons(root);
  const unfollow = followTheme(root, standalone);
  show(model.get("view"));
  showLater(model.get("later"));
  model.send({ kind: "ready" });
  return () => {
    model.off("msg:custom", hear);
    unfollow();
  };
}

export default { render };
