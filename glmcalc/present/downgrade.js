// The page's side of *Downgrade*: sends the fields, shows the ladder. `widget.js` stands before it.
function render({ model, el }) {
  const standalone = model.get("standalone");
  const root = framed(model, el);
  const find = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const showParts = partsOf(root);
  const later = new Map();
  let asked = {};
  let dim = 0;

  function change(name, text) {
    clearTimeout(later.get(name));
    if ((asked[name] || "") === text) return;
    asked[name] = text;
    clearTimeout(dim);
    dim = setTimeout(() => root.classList.add("gm-slow"), 300);
    root.setAttribute("aria-busy", "true");
    model.send({ kind: "change", changes: { [name]: text } });
  }
  function showFields(view) {
    asked = { ...view.values };
    for (const field of all("[data-name]")) {
      const text = view.values[field.dataset.name] || "";
      if (field.type === "radio") field.checked = field.value === text;
      else if (field !== document.activeElement && field.value !== text) {
        if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) {
          field.add(new Option(text || "h200_sxm", text));
        }
        field.value = text;
      }
      field.toggleAttribute("aria-invalid", false);
      if (view.errors[field.dataset.name]) field.setAttribute("aria-invalid", "true");
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
    if (standalone && location.search !== full) history.replaceState(null, "", location.pathname + full);
  }
  function show(view) {
    clearTimeout(dim);
    root.classList.remove("gm-slow");
    root.classList.toggle("gm-old", view.stale);
    root.removeAttribute("aria-busy");
    showParts(view.parts);
    root.dataset.state = view.state;
    showFields(view);
    showLink(view.query);
    root.dataset.serial = view.serial;
  }
  function hear(message) {
    if (!message.view) return;
    show(message.view);
    setTimeout(() => model.set("view", message.view), 0);
  }
  root.addEventListener("input", (event) => {
    const { name } = event.target.dataset;
    if (!name || event.target.type === "radio" || event.target.tagName === "SELECT") return;
    clearTimeout(later.get(name));
    later.set(name, setTimeout(() => change(name, event.target.value.trim()), 450));
  });
  root.addEventListener("change", (event) => {
    if (event.target.dataset.name) change(event.target.dataset.name, event.target.value.trim());
  });
  root.addEventListener("keydown", (event) => event.stopPropagation()); // a notebook's own keys must not act here
  root.addEventListener("submit", (event) => event.preventDefault());

  model.on("msg:custom", hear);
  copyButtons(root);
  const unfollow = followTheme(root, standalone);
  show(model.get("view"));
  return () => {
    model.off("msg:custom", hear);
    unfollow();
  };
}

export default { render };
