// The page's side of *What happened?*: hands the log to the kernel, shows what it answers. The log goes nowhere else.
// `widget.js` stands before it.
const HANDED = "glm-log"; // where the first page lays what was pasted there

function render({ model, el }) {
  const standalone = model.get("standalone");
  const root = framed(model, el);
  const find = (selector) => root.querySelector(selector);
  const all = (selector) => [...root.querySelectorAll(selector)];
  const part = (name) => find(`[data-part="${name}"]`);
  const box = find("[data-log]");
  let dim = 0;
  let wanted = false; // the user asked for the answer that is on its way
  let read = ""; // what the kernel last had from the box
  let asked = {};

  let shape = "";
  const resized = new ResizeObserver(([entry]) => {
    const width = entry.contentRect.width;
    shape = width >= 960 ? "wide" : width >= 600 ? "middle" : "narrow";
  });
  resized.observe(find(".gm-right"));

  function send(message, bytes) {
    clearTimeout(dim);
    dim = setTimeout(() => root.classList.add("gm-slow"), 300);
    root.setAttribute("aria-busy", "true");
    model.send({ ...message, shape }, undefined, bytes ? [bytes] : undefined);
  }
  function say(text, bad) {
    const note = find("[data-note]");
    note.textContent = text;
    note.classList.toggle("gm-err", Boolean(bad));
  }
  function diagnose() {
    if (!box.value && box.dataset.from) return send({ kind: "change", changes: fields() });
    const bytes = new TextEncoder().encode(box.value);
    delete box.dataset.from;
    if (bytes.length > model.get("most")) return say(model.get("too_large"), true);
    wanted = true;
    read = box.value;
    send({ kind: "log" }, bytes.buffer);
  }
  async function take(file) {
    if (file.size > model.get("most")) return say(`${file.name}: ${model.get("too_large")}`, true);
    say(`Reading ${file.name} …`);
    const bytes = await file.arrayBuffer();
    box.value = "";
    box.dataset.from = file.name;
    wanted = true;
    send({ kind: "log" }, bytes);
  }
  function fields() {
    return Object.fromEntries(all("[data-beside] [data-name]").map((field) => [field.dataset.name, field.value]));
  }
  function change(name, text) {
    if (asked[name] === text) return;
    asked[name] = text;
    // What stands in the box and was not read yet is read with the change.
    if (box.value && box.value !== read) diagnose();
    send({ kind: "change", changes: { [name]: text } });
  }

  const showParts = partsOf(root);
  function showFields(view) {
    asked = { ...view.values };
    for (const field of all("[data-name]")) {
      const name = field.dataset.name;
      const text = view.values[name] || "";
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) {
        field.add(new Option(text, text));
      }
      if (field !== document.activeElement && field.value !== text) field.value = text;
      field.toggleAttribute("aria-invalid", false);
      if (view.errors[name]) field.setAttribute("aria-invalid", "true");
    }
    for (const line of all("[data-error]")) {
      line.textContent = view.errors[line.dataset.error] || "";
      line.hidden = !line.textContent;
    }
    box.toggleAttribute("aria-invalid", false);
    if (view.errors.log) box.setAttribute("aria-invalid", "true");
    const used = Object.values(view.values).some(Boolean) || Object.keys(view.errors).some((name) => name !== "log");
    if (used) find("[data-beside]").open = true;
  }
  function showLink(query) {
    const kept = standalone ? new URLSearchParams(location.search).get("theme") : null;
    const theme = kept ? `${query ? "&" : "?"}theme=${encodeURIComponent(kept)}` : "";
    const place = find(".gm-link");
    place.hidden = !standalone || !query;
    find("[data-link]").href = location.pathname + query + theme;
    find("[data-query]").textContent = query;
    if (standalone && location.search !== query + theme) history.replaceState(null, "", location.pathname + query + theme);
  }
  function show(view) {
    clearTimeout(dim);
    root.classList.remove("gm-slow");
    root.classList.toggle("gm-old", view.stale);
    root.removeAttribute("aria-busy");
    if (typeof view.fill === "string") {
      box.value = read = view.fill;
      delete box.dataset.from;
    }
    showParts(view.parts);
    root.dataset.state = view.state;
    root.dataset.class = view.class;
    const name = box.dataset.from;
    say(name && view.state === "read" ? `${name}: ${view.note}` : view.note, Boolean(view.errors.log));
    showFields(view);
    showLink(view.query);
    if (wanted) {
      wanted = false;
      const top = part("verdict").getBoundingClientRect().top;
      if (top < 0 || top > innerHeight * 0.6) part("verdict").scrollIntoView({ block: "start" });
    }
    root.dataset.serial = view.serial;
  }
  function showLater(answer) {
    showParts(answer.parts);
    root.dataset.later = answer.serial;
  }
  function hear(message) {
    if (message.view) show(message.view);
    if (message.later) showLater(message.later);
    // For a second view of this widget: it starts from the model, which must not lag behind.
    for (const name of ["view", "later"]) if (message[name]) setTimeout(() => model.set(name, message[name]), 0);
  }

  box.addEventListener("paste", () => setTimeout(diagnose, 0)); // once the text is in the box
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // a notebook's own keys must not act on what is typed here
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("form")) {
      event.preventDefault();
      const name = event.target.dataset.name;
      if (name && event.target.value !== (asked[name] || "")) change(name, event.target.value);
      else diagnose();
    }
  });
  root.addEventListener("change", (event) => {
    const field = event.target;
    if ("file" in field.dataset && field.files.length) {
      take(field.files[0]);
      field.value = "";
    } else if (field.dataset.name) change(field.dataset.name, field.value);
  });
  root.addEventListener("submit", (event) => event.preventDefault());
  const acts = {
    diagnose,
    open: () => find("[data-file]").click(),
    example: () => {
      wanted = true;
      send({ kind: "example" });
    },
    clear: () => {
      box.value = read = "";
      delete box.dataset.from;
      send({ kind: "clear" });
      box.focus();
    },
    command: () => {
      find("[data-beside]").open = true;
      find('[data-name="command"]').focus();
    },
  };
  root.addEventListener("click", (event) => acts[event.target.closest("[data-act]")?.dataset.act]?.());
  for (const name of ["dragover", "dragleave", "drop"]) {
    root.addEventListener(name, (event) => {
      if (![...(event.dataTransfer?.types || [])].includes("Files")) return; // dragged text goes into the box as usual
      event.preventDefault();
      find("[data-drop]").classList.toggle("gm-over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    });
  }

  model.on("msg:custom", hear);
  copyButtons(root);
  const unfollow = followTheme(root, standalone);
  const first = model.get("view");
  box.value = read = first.given || "";
  show(first);
  showLater(model.get("later"));
  const handed = standalone && sessionStorage.getItem(HANDED);
  if (handed) {
    sessionStorage.removeItem(HANDED);
    box.value = handed;
    requestAnimationFrame(diagnose);
  }
  return () => {
    model.off("msg:custom", hear);
    resized.disconnect();
    unfollow();
  };
}

export default { render };
