// The page's side of the calculator: sends what the user sets, shows what the kernel answers. No arithmetic.
// `widget.js` stands before it.
function setSlider(slider, text) {
  const stops = slider.dataset.stops.split(" ").map(Number);
  const value = Number(String(text).replace(/,/g, ""));
  if (!Number.isFinite(value)) return;
  let best = 0;
  stops.forEach((stop, i) => {
    if (Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
  });
  slider.value = best;
  slider.setAttribute("aria-valuetext", value.toLocaleString("en-US"));
}

const plain = (text) => text.replace(/(\d),(?=\d{3})/g, "$1");

function setField(field, text, typing) {
  if (field.type === "checkbox") {
    field.checked = /^(true|1|yes|on)$/i.test(text);
    return;
  }
  // What is being typed is left alone, and so is what was typed and means the same.
  if (field === document.activeElement && (typing || plain(field.value) === plain(text))) return;
  if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) {
    field.add(new Option(text, text));
  }
  if (field.value !== text) field.value = text;
}

function pretty(text) {
  return /^\d{4,}$/.test(text) ? Number(text).toLocaleString("en-US") : text;
}

function render({ model, el }) {
  const standalone = model.get("standalone");
  const root = framed(model, el);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const all = (selector) => [...root.querySelectorAll(selector)];
  let waiting = false;
  let queue = null;
  let dim = 0;
  let address = 0;

  // The bar has three shapes; the kernel writes only the one that is seen. The same widths stand in the style sheet.
  let shape = "";
  const resized = new ResizeObserver(([entry]) => {
    const width = entry.contentRect.width;
    const fitting = width >= 960 ? "wide" : width >= 600 ? "middle" : "narrow";
    const before = shape;
    shape = fitting;
    if (before && before !== fitting) send({ kind: "shape" });
  });
  resized.observe(part("bar"));
  function flush() {
    if (waiting || !queue) return;
    if (queue.kind !== "change") typing.clear();
    waiting = true;
    dim = setTimeout(() => root.classList.add("gm-slow"), 300);
    model.send({ ...queue, shape });
    queue = null;
  }
  function send(message) {
    const both = message.kind === "change" && queue && queue.kind === "change";
    queue = both ? { kind: "change", changes: { ...queue.changes, ...message.changes } } : message;
    flush();
  }
  const asked = {};
  const typing = new Set();
  function change(name, text) {
    typing.delete(name);
    if (asked[name] === text) return; // a field reports once while it is typed in and once when it is left
    asked[name] = text;
    send({ kind: "change", changes: { [name]: text } });
  }
  let shown = null;

  const showParts = partsOf(root);
  function showControls(view) {
    shown = view;
    Object.assign(asked, view.values);
    for (const field of all("[data-name]")) {
      const name = field.dataset.name;
      const filled = view.placeholders[name] || "";
      const own = view.values[name] || "";
      const picks = field.tagName === "SELECT" && name !== "kv_cache_dtype" && name !== "quantization";
      if (field.type === "text") field.placeholder = pretty(filled);
      setField(field, field.classList.contains("num") ? pretty(own) : own || (picks ? filled || (name.endsWith("_size") ? "1" : "") : ""), typing.has(name));
      field.toggleAttribute("aria-invalid", false);
      if (view.errors[name]) field.setAttribute("aria-invalid", "true");
      const slider = root.querySelector(`[data-slider="${name}"]`);
      if (slider && slider !== document.activeElement) setSlider(slider, own || filled);
      else if (slider) slider.setAttribute("aria-valuetext", pretty(own || filled));
    }
    for (const line of all("[data-help]")) {
      const text = view.helps[line.dataset.help];
      if (text) line.textContent = text;
    }
    for (const line of all("[data-error]")) {
      const text = view.errors[line.dataset.error] || "";
      line.textContent = text;
      line.hidden = !text;
    }
    for (const button of all("[data-preset]")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === view.preset));
    }
    const read = root.querySelector("[data-read]");
    read.dataset.hint ??= read.textContent;
    read.textContent = view.read || read.dataset.hint;
    read.classList.toggle("gm-err", view.read_bad);
  }
  function showLink(query) {
    const keep = standalone ? new URLSearchParams(location.search).get("theme") : null;
    const full = keep ? `${query}&theme=${encodeURIComponent(keep)}` : query;
    const link = root.querySelector("[data-link]");
    link.href = standalone ? location.pathname + full : full;
    link.hidden = !standalone;
    root.querySelector("[data-query]").textContent = query;
    root.querySelector("[data-query]").title = query;
    clearTimeout(address);
    if (standalone && location.search !== full) {
      address = setTimeout(() => history.replaceState(null, "", location.pathname + full), 200);
    }
  }
  function show(view) {
    clearTimeout(dim);
    root.classList.remove("gm-slow");
    root.classList.toggle("gm-old", view.stale);
    showParts(view.parts);
    root.dataset.status = view.status;
    setTimeout(() => settle(view), 0); // the answer first, then the controls' own words
  }
  function settle(view) {
    showControls(view);
    showLink(view.query);
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
      // For a second view of this widget: it starts from the model, which must not lag behind.
      const kept = { ...message[name], parts: { ...model.get(name).parts, ...message[name].parts } };
      setTimeout(() => model.set(name, kept), 0);
    }
  }

  const later = new Map();
  function soon(key, delay, act) {
    clearTimeout(later.get(key));
    later.set(key, setTimeout(act, delay));
  }
  root.addEventListener("input", (event) => {
    const field = event.target;
    if (field.dataset.slider) {
      const text = field.dataset.stops.split(" ")[field.value];
      const exact = root.querySelector(`[data-name="${field.dataset.slider}"]`);
      exact.value = pretty(text);
      field.setAttribute("aria-valuetext", pretty(text));
      change(field.dataset.slider, text);
    } else if ("paste" in field.dataset) {
      soon("paste", 250, () => send({ kind: "paste", text: field.value }));
    } else if (field.type === "text") {
      typing.add(field.dataset.name);
      soon(field.dataset.name, 450, () => change(field.dataset.name, plain(field.value)));
    }
  });
  root.addEventListener("change", (event) => {
    const field = event.target;
    if (!field.dataset.name) return;
    clearTimeout(later.get(field.dataset.name));
    const text = field.type === "checkbox" ? (field.checked ? "true" : "") : plain(field.value);
    change(field.dataset.name, text);
  });
  root.addEventListener("focusout", () => setTimeout(() => !waiting && !queue && showControls(shown), 0));
  root.addEventListener("keydown", (event) => {
    const field = event.target;
    event.stopPropagation(); // a notebook's own keys must not act on what is typed here
    if (field.dataset && field.dataset.slider && (event.key === "PageUp" || event.key === "PageDown")) {
      event.preventDefault();
      field.value = Number(field.value) + (event.key === "PageUp" ? 10 : -10);
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  root.addEventListener("submit", (event) => event.preventDefault());
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.preset) send({ kind: "preset", key: button.dataset.preset });
  });

  model.on("msg:custom", hear);
  copyButtons(root);
  const unfollow = followTheme(root, standalone);
  show(model.get("view"));
  showLater(model.get("later"));
  root.querySelector("[data-paste]").value = model.get("view").pasted;
  return () => {
    model.off("msg:custom", hear);
    resized.disconnect();
    unfollow();
  };
}

export default { render };
