// Ticks of a list: ranges with Shift, all on this page, and how many, said aloud. The bar and its
// number need none of this.

/** Where a range starts: the tick that was last set or cleared. */
let anchor = null;

document.addEventListener("click", (event) => {
  const tick = event.target.closest(".grid .sel-cell .cb");
  if (!tick) return;
  const table = tick.closest("table");
  const rows = [...table.querySelectorAll("tbody .sel-cell .cb:not(:disabled)")];
  const all = table.querySelector("thead .sel-cell .cb");

  if (tick === all) {
    for (const row of rows) row.checked = tick.checked;
  } else {
    const [from, to] = [rows.indexOf(anchor), rows.indexOf(tick)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) {
      for (const row of rows.slice(from, to)) row.checked = tick.checked;
    }
    anchor = tick;
  }

  const count = rows.filter((row) => row.checked).length;
  if (all) {
    all.checked = count > 0 && count === rows.length;
    all.indeterminate = count > 0 && count < rows.length;
  }
  say(`${count} selected`);
});
