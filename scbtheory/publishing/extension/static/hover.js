// A link to a claim or an equation shows it, a formula says what its letters mean: under the pointer after a moment, and
// for links also when the keyboard reaches them. Escape closes; what is shown stays while the pointer is on it.
(() => {
  const LINKS = 'a[href*="#claim-"], a[href*="#equation-"]';
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  let previews, box, timer, owner;

  window.scbPreviews = (found) => {
    // Longer symbols first, so that K_P is not read as P.
    found.symbols = found.symbols.map(([tex, meaning]) => [tokens(tex), tex, meaning]);
    found.symbols.sort((a, b) => b[0].length - a[0].length);
    previews.resolve(found);
  };

  const load = () => {
    if (!previews) {
      previews = {};
      previews.promise = new Promise((resolve) => (previews.resolve = resolve));
      const script = document.createElement("script");
      script.src = new URL("_static/previews.js", root).href;
      document.head.append(script);
    }
    return previews.promise;
  };

  // Letters that are words, such as an environment's name, are no symbols.
  const WORDS = /\\(begin|end|text|textstyle|operatorname|mathrm|tag)\*?\{[^}]*\}|\\(left|right|[bB]igg?[lr]?|[,;:!]|q?quad)(?![A-Za-z])/g;
  const tokens = (tex) => tex.replace(WORDS, " ").match(/\\[A-Za-z]+|[^\s{}]/g) || [];

  // The symbols of the notation page in a formula, in the order in which they appear.
  const read = (tex, known) => {
    const found = new Map();
    const words = tokens(tex);
    for (let at = 0; at < words.length; ) {
      const hit = known.find(([parts]) => parts.every((part, i) => words[at + i] === part));
      if (hit) found.set(hit[1], hit[2]);
      at += hit ? hit[0].length : 1;
    }
    return found;
  };

  const content = async (target) => {
    const found = await load();
    const holder = document.createElement("div");
    if (target.matches(LINKS)) {
      const shown = found.places[decodeURI(target.href).replace(decodeURI(root.href), "")];
      if (!shown) return null;
      holder.innerHTML = shown;
      for (const link of holder.querySelectorAll("a[href]")) link.href = new URL(link.getAttribute("href"), target.href);
      return holder;
    }
    const item = [...MathJax.startup.document.math].find((math) => math.typesetRoot === target);
    const meanings = item ? read(item.math, found.symbols) : new Map();
    if (!meanings.size) return null;
    const list = document.createElement("dl");
    for (const [tex, meaning] of meanings) {
      list.append(document.createElement("dt"), document.createElement("dd"));
      list.children[list.children.length - 2].textContent = `\\(${tex}\\)`;
      list.lastChild.innerHTML = meaning;
    }
    holder.append(list);
    return holder;
  };

  const close = () => {
    clearTimeout(timer);
    if (!box) return;
    MathJax.typesetClear([box]);
    box.remove();
    owner.removeAttribute("aria-describedby");
    box = owner = undefined;
  };

  const open = async (target) => {
    const shown = await content(target);
    close();
    if (!shown) return;
    box = document.createElement("div");
    box.id = "scb-hover";
    box.setAttribute("role", "tooltip");
    box.append(...shown.childNodes);
    document.body.append(box);
    owner = target;
    owner.setAttribute("aria-describedby", box.id);
    await MathJax.typesetPromise([box]);
    if (!box) return;
    const place = target.getBoundingClientRect();
    const below = place.bottom + box.offsetHeight + 12 < innerHeight || place.top < box.offsetHeight + 12;
    box.style.top = `${scrollY + (below ? place.bottom + 6 : place.top - box.offsetHeight - 6)}px`;
    const right = document.documentElement.clientWidth - box.offsetWidth - 8;
    box.style.left = `${scrollX + Math.max(8, Math.min(place.left, right))}px`;
    box.style.visibility = "visible";
  };

  const later = (what, delay) => {
    clearTimeout(timer);
    timer = setTimeout(what, delay);
  };

  const pointed = (node) => node instanceof Element && (node.closest(LINKS) || node.closest("article mjx-container"));

  document.addEventListener("mouseover", ({ target }) => {
    if (box?.contains(target)) return clearTimeout(timer);
    const found = pointed(target);
    if (found && found === owner) clearTimeout(timer);
    else if (found) later(() => open(found), found.matches(LINKS) ? 300 : 600);
    else later(close, 300);
  });
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches(LINKS) && target.matches(":focus-visible")) later(() => open(target), 300);
    else if (!box?.contains(target)) close();
  });
  document.addEventListener("keydown", ({ key }) => key === "Escape" && close());
})();
