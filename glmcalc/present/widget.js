// What every page does alike: colours, putting HTML in its place, copying.
function theme(root, standalone) {
  const body = document.body;
  const forced = standalone ? new URLSearchParams(location.search).get("theme") : null;
  const jupyter = standalone ? null : body.dataset.jpThemeLight;
  root.classList.toggle("dark", forced === "dark" || jupyter === "false");
  root.classList.toggle("light", forced === "light" || jupyter === "true");
  const paper = getComputedStyle(root).getPropertyValue("--bg");
  if (standalone) document.documentElement.style.background = body.style.background = paper;
}

// Make `old` read like `fresh` by touching only what differs: less to lay out, and the focus stays where it is.
function morph(old, fresh) {
  let at = old.firstChild;
  for (let next = fresh.firstChild, after; next; next = after) {
    after = next.nextSibling;
    if (!at) {
      old.append(next);
    } else if (at.nodeName !== next.nodeName || at.nodeType !== next.nodeType) {
      const gone = at;
      at = at.nextSibling;
      gone.replaceWith(next);
    } else {
      if (at.nodeType === Node.TEXT_NODE) {
        if (at.data !== next.data) at.data = next.data;
      } else if (!at.isEqualNode(next)) {
        for (const { name, value } of [...next.attributes]) {
          if (at.getAttribute(name) !== value) at.setAttribute(name, value);
        }
        for (const { name } of [...at.attributes]) {
          if (!next.hasAttribute(name)) at.removeAttribute(name);
        }
        morph(at, next);
      }
      at = at.nextSibling;
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  return Promise.resolve();
}

// The Copy buttons of a page: each copies the text of the box that it stands in, and says so.
function copyButtons(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    copyText(button.parentElement.querySelector("pre").textContent).then(() => {
      button.textContent = "Copied";
      root.querySelector("[data-said]").textContent = "Copied";
      setTimeout(() => {
        button.textContent = "Copy";
        root.querySelector("[data-said]").textContent = "";
      }, 1600);
    });
  });
}

// Colours after Jupyter's theme, the address or the system, now and when they change. Returns how to stop.
function followTheme(root, standalone) {
  const again = () => theme(root, standalone);
  requestAnimationFrame(again); // after the view is in the page
  const watch = new MutationObserver(again);
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", again);
  return () => {
    watch.disconnect();
    dark.removeEventListener("change", again);
  };
}

// Puts the HTML of an answer's parts in their places, those that differ from what stands there.
function partsOf(root) {
  const last = {};
  return (parts) => {
    for (const [name, html] of Object.entries(parts)) {
      const place = root.querySelector(`[data-part="${name}"]`);
      if (place && last[name] !== html) {
        const fresh = document.createElement("template");
        fresh.innerHTML = html;
        morph(place, fresh.content);
        last[name] = html;
      }
    }
  };
}

// The page's frame in its place; without links to other pages where Voila serves this one alone.
function framed(model, el) {
  const root = document.createElement("div");
  root.className = model.get("standalone") ? "gm gm-page gm-alone" : "gm gm-page";
  root.dataset.lmSuppressShortcuts = "true";
  root.innerHTML = model.get("frame");
  if (!location.pathname.includes("/voila/render/")) root.querySelector("header nav")?.remove();
  const forced = new URLSearchParams(location.search).get("theme");
  if (forced) for (const link of root.querySelectorAll("header nav a")) link.search = new URLSearchParams({ theme: forced });
  el.append(root);
  return root;
}
