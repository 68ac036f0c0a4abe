// Menus (details.menu) close by Escape, by a click or the focus elsewhere, and so by opening
// another. Escape also puts a tooltip away until the next one is due.

const root = document.documentElement;

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}

function onElsewhere(event) {
  closeMenus(event.target);
  if (event.type === "focusin") delete root.dataset.tips;
}

document.addEventListener("pointerdown", onElsewhere);
document.addEventListener("focusin", onElsewhere);
document.addEventListener("pointerover", () => delete root.dataset.tips);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  root.dataset.tips = "off";
  const button = document.activeElement.closest("details.menu[open]")?.querySelector("summary");
  closeMenus();
  button?.focus();
});
