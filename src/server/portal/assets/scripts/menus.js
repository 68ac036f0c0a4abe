// Menus (details.menu) close by Escape, by a click or the focus elsewhere, and so by opening
// another. Escape also puts a tooltip away until the next one is due.

const root = document.documentElement;

function closeMenus(isKept = () => false) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!isKept(menu)) menu.open = false;
  }
}

document.addEventListener("pointerdown", ({ target }) => closeMenus((menu) => menu.contains(target)));

// a click on a menu's text gives the focus to what surrounds the menu; that is not elsewhere
document.addEventListener("focusin", ({ target }) => {
  closeMenus((menu) => menu.contains(target) || target.contains(menu));
  delete root.dataset.tips;
});

document.addEventListener("pointerover", () => delete root.dataset.tips);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  root.dataset.tips = "off";
  const button = document.activeElement.closest("details.menu[open]")?.querySelector("summary");
  closeMenus();
  button?.focus();
});
