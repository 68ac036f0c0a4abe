// Dialogs: the form of a confirm page, opened over the page that leads to it.
//
//   data-dialog        On a link to a confirm page, or on a submit button that leads to one.
//   data-dialog-form   On that page's form; it is labelled by its title (aria-labelledby). Its ids
//                      must be unlike those of any other page.
//   data-cancel        On the form's Cancel link: closes the dialog instead.
//
// An answer with 422 is the same form with what is wrong and takes its place; any other is shown.

const dialog = document.createElement("dialog");
dialog.className = "pop";
dialog.addEventListener("close", () => dialog.replaceChildren());

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (link && isPlain(event)) {
    event.preventDefault();
    const plainly = () => location.assign(link.href);
    openDialog({ request: { url: link.href, method: "GET" }, control: link, plainly });
  } else if (event.target.closest("[data-cancel]") && dialog.contains(event.target)) {
    event.preventDefault();
    dialog.close();
  }
});

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (event.defaultPrevented || released.has(form)) return;
  const plainly = () => submitPlainly(form, button);
  if (button?.matches("[data-dialog]")) {
    event.preventDefault();
    openDialog({ request: requestOf(form, button), control: button, plainly });
  } else if (dialog.contains(form)) {
    event.preventDefault();
    attempt({ request: requestOf(form, button), control: button, plainly }, (answer) => {
      if (answer.status === 422 && fill(answer)) return;
      dialog.close();
      show(answer, "push");
    });
  }
});

function openDialog(how) {
  attempt(how, (answer) => {
    if (!fill(answer)) throw new Error("no form to confirm");
  });
}

/** Moves the answer's form into the dialog and opens it; false when there is none. */
function fill({ page, url }) {
  const form = page.querySelector("form[data-dialog-form]");
  if (!form) return false;
  // a form without an action posts to its own page, which is not the one on screen
  form.setAttribute("action", new URL(form.getAttribute("action") ?? "", url));
  dialog.setAttribute("aria-labelledby", form.getAttribute("aria-labelledby"));
  dialog.replaceChildren(form);
  if (!dialog.isConnected) document.body.append(dialog);
  if (!dialog.open) dialog.showModal();
  const first = form.querySelector("[aria-invalid=true]") ?? form.querySelector("input:not([type=hidden])");
  first?.focus();
  return true;
}
