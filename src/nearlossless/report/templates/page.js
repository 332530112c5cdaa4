"use strict";
const root = document.documentElement;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const stored = { get() { try { return localStorage.getItem("theme"); } catch { return null; } }, set(theme) { try { localStorage.setItem("theme", theme); } catch { /* a page without storage */ } } };
const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const themed = one("#theme");
const showTheme = () => themed.setAttribute("aria-pressed", String(dark()));
if (["light", "dark"].includes(stored.get())) root.dataset.theme = stored.get();
themed.hidden = false;
themed.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; stored.set(root.dataset.theme); showTheme(); });
showTheme();

for (const button of all(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = one("code", button.parentElement);
    try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(code); button.textContent = "Selected"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", openTarget);
openTarget();

const dialog = one("#viewer");
if (dialog) {
  const stage = one(".stage", dialog), [under, over] = all("img", stage);
  const range = one(".range", dialog), legend = one(".legend", dialog), zoom = one("#zoom"), overlay = one(".tile", stage);
  const words = { slider: "Left of the line: $, right of it: obtained. Drag, or use the arrow keys.", flicker: "Shown: ", difference: "Difference of $ and obtained, red, green and blue added. Black: equal; purple: a few levels; orange: about 100; white: 255 and more." };
  let cards = [], at = 0, mode = "slider", timer = 0, tile = null;
  const anchors = () => all("input[name=anchor]", dialog);
  const anchor = () => anchors().find((each) => each.checked && !each.parentElement.hidden)?.value ?? "";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const load = (image, link) => {
    const thumb = one("img", link);
    image.onerror = () => { image.onerror = null; if (thumb) image.src = thumb.src; one("#missing").hidden = false; };
    image.onload = () => stage.classList.toggle("small", under.naturalWidth < 512);
    image.src = link.getAttribute("href");
    image.alt = thumb ? thumb.alt : link.textContent;
  };
  const tell = () => {
    const name = anchor();
    legend.textContent = mode === "flicker" ? words.flicker + (stage.classList.contains("second") ? "obtained" : name) : words[mode].replace("$", name);
  };
  const flip = () => { stage.classList.toggle("second"); tell(); };
  const play = (on) => { clearInterval(timer); timer = on ? setInterval(flip, 600) : 0; one("#play").setAttribute("aria-pressed", String(Boolean(on))); };
  const setMode = (wanted) => {
    mode = wanted;
    stage.classList.remove("slider", "flicker", "difference", "second");
    stage.classList.add(mode);
    for (const button of all("[data-mode]", dialog)) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    one("#sliding").hidden = mode !== "slider";
    one("#flickering").hidden = mode !== "flicker";
    play(mode === "flicker" && !calm.matches);
    tell();
  };
  const cut = () => stage.style.setProperty("--cut", `${range.value}%`);
  const setZoom = (on) => {
    zoom.setAttribute("aria-pressed", String(on));
    const [x, y, w, h, width, height] = tile ?? [0, 0, 1, 1, 1, 1];
    const scale = on && tile ? Math.min(width / (2 * w), height / (2 * h), 16) : 1;
    const shift = (start, side, whole) => -100 * Math.min(Math.max((start + side / 2) / whole - 0.5 / scale, 0), 1 - 1 / scale);
    stage.style.setProperty("--move", scale > 1 ? `scale(${scale}) translate(${shift(x, w, width)}%, ${shift(y, h, height)}%)` : "none");
  };
  const pair = () => {
    const card = cards[at], kind = anchor();
    one("#missing").hidden = true;
    load(under, one(`a[data-kind="${kind}"]`, card));
    load(over, one('a[data-kind="obtained"]', card));
    const told = card.dataset[kind === "expected" ? "storedTile" : "liveTile"];
    tile = told ? [...told.split(",").map(Number), Number(card.dataset.width), Number(card.dataset.height)] : null;
    overlay.hidden = zoom.hidden = !tile;
    if (tile) {
      overlay.setAttribute("viewBox", `0 0 ${tile[4]} ${tile[5]}`);
      ["x", "y", "width", "height"].forEach((name, index) => one("rect", overlay).setAttribute(name, tile[index]));
    }
    setZoom(zoom.getAttribute("aria-pressed") === "true");
    tell();
  };
  const show = (index) => {
    at = (index + cards.length) % cards.length;
    const card = cards[at];
    one("#viewer-title").replaceChildren(...one("h5", card).cloneNode(true).childNodes);
    for (const input of anchors()) input.parentElement.hidden = !one(`a[data-kind="${input.value}"]`, card);
    if (!anchor()) anchors().find((each) => !each.parentElement.hidden).checked = true;
    const scores = one(".scores", card);
    one("#viewer-scores").replaceChildren(...(scores ? [scores.cloneNode(true)] : []));
    pair();
  };
  const open = (card) => {
    cards = all(".card.comparable", card.closest(".cards"));
    show(cards.indexOf(card));
    setMode(mode);
    dialog.showModal();
  };
  for (const card of all(".card.comparable")) {
    const button = one(".open", card);
    button.hidden = false;
    button.addEventListener("click", () => open(card));
    for (const link of all(".thumbs a", card)) link.addEventListener("click", (event) => { if (!event.ctrlKey && !event.metaKey) { event.preventDefault(); open(card); } });
  }
  for (const button of all("[data-mode]", dialog)) button.addEventListener("click", () => setMode(button.dataset.mode));
  for (const input of anchors()) input.addEventListener("change", pair);
  range.addEventListener("input", cut);
  one("#play").addEventListener("click", () => play(!timer));
  one("#swap").addEventListener("click", () => { play(false); flip(); });
  zoom.addEventListener("click", () => setZoom(zoom.getAttribute("aria-pressed") !== "true"));
  one("#next").addEventListener("click", () => show(at + 1));
  one("#previous").addEventListener("click", () => show(at - 1));
  one("#close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => play(false));
  const drag = (event) => {
    if (mode !== "slider" || !(event.buttons & 1)) return;
    const box = stage.getBoundingClientRect();
    range.value = String(100 * (event.clientX - box.left) / box.width);
    cut();
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
}
