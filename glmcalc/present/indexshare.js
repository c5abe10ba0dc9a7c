// The page's side of chapter 2's form: sends the fields, shows the answer. No arithmetic. `widget.js` stands before it.
const bare = (text) => text.trim().replace(/(\d),(?=\d{3})/g, "$1");
const grouped = (text) => (/^\d{4,}$/.test(text) ? Number(text).toLocaleString("en-US") : text);

function moveSlider(slider, text) {
  const stops = slider.dataset.stops.split(" ").map(Number);
  const value = Number(text);
  if (!Number.isFinite(value)) return;
  let best = 0;
  stops.forEach((stop, i) => {
    if (Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
  });
  slider.value = best;
}

function render({ model, el }) {
  const root = framed(model, el);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const showParts = partsOf(root);
  const later = new Map();
  let asked = {};
  let waiting = false;
  let queue = null;

  function flush() {
    if (waiting || !queue) return;
    waiting = true;
    root.setAttribute("aria-busy", "true");
    model.send({ kind: "change", changes: queue });
    queue = null;
  }
  function change(name, text) {
    clearTimeout(later.get(name));
    if (asked[name] === text) return;
    asked[name] = text;
    queue = { ...queue, [name]: text };
    flush();
  }
  function show(view) {
    showParts(view.parts);
    root.classList.toggle("gm-old", view.stale);
    root.removeAttribute("aria-busy");
    asked = { ...view.values, ...queue };
    for (const field of all("[data-name]")) {
      const text = asked[field.dataset.name] || "";
      if (field !== document.activeElement || bare(field.value) !== text) {
        const shown = field.tagName === "SELECT" ? text : grouped(text);
        if (field.value !== shown && field !== document.activeElement) field.value = shown;
      }
      field.toggleAttribute("aria-invalid", false);
      if (view.errors[field.dataset.name]) field.setAttribute("aria-invalid", "true");
    }
    for (const slider of all("[data-slider]")) {
      const text = asked[slider.dataset.slider] || "";
      if (slider !== document.activeElement) moveSlider(slider, text);
      slider.setAttribute("aria-valuetext", grouped(text));
    }
    for (const line of all("[data-error]")) {
      line.textContent = view.errors[line.dataset.error] || "";
      line.hidden = !line.textContent;
    }
    root.dataset.serial = view.serial;
    waiting = false;
    flush();
  }
  function hear(message) {
    if (!message.view) return;
    show(message.view);
    setTimeout(() => model.set("view", message.view), 0);
  }
  root.addEventListener("input", (event) => {
    const field = event.target;
    const { name, slider } = field.dataset;
    if (slider) {
      const text = field.dataset.stops.split(" ")[field.value];
      root.querySelector(`[data-name="${slider}"]`).value = grouped(text);
      change(slider, text);
    } else if (field.type === "text") {
      clearTimeout(later.get(name));
      later.set(name, setTimeout(() => change(name, bare(field.value)), 450));
    }
  });
  root.addEventListener("change", (event) => {
    if (event.target.dataset.name) change(event.target.dataset.name, bare(event.target.value));
  });
  root.addEventListener("keydown", (event) => event.stopPropagation()); // a notebook's own keys must not act here
  root.addEventListener("submit", (event) => event.preventDefault());

  model.on("msg:custom", hear);
  copyButtons(root);
  const unfollow = followTheme(root, false);
  show(model.get("view"));
  return () => {
    model.off("msg:custom", hear);
    unfollow();
  };
}

export default { render };
