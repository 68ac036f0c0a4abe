// Leaving: a changed form asks once, and a button that was pressed is not pressed again.
//
//   data-guard             On a form: leaving asks when a field is not as it came.
//   data-guard="changed"   The same, and it came with something already (a refused form, a later
//                          step): leaving always asks.

let leaving = false;
let endWaiting = () => {};

document.addEventListener("submit", (event) => {
  if (event.submitter?.ariaBusy !== "true") return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, { capture: true });

// the last to hear of a submission: what is left is the browser's
document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (event.defaultPrevented) return;
  if (form.matches("[data-guard]")) leaving = true;
  if (button?.dataset.busy) endWaiting = busy(button);
});

addEventListener("beforeunload", (event) => {
  const guarded = [...document.querySelectorAll("form[data-guard]")];
  if (!leaving && guarded.some(isChanged)) event.preventDefault();
});

addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  leaving = false;
  endWaiting();
});

function isChanged(form) {
  return form.dataset.guard === "changed" || [...form.elements].some(isFieldChanged);
}

function isFieldChanged(field) {
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
  if (field.matches("select")) {
    const given = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(given, 0);
  }
  return field.matches("input:not([type=hidden]), textarea") && field.value !== field.defaultValue;
}
