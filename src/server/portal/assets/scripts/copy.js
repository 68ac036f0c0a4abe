// Copy: to the clipboard, without leaving the page.
//
//   data-copy="Provisioning key copied"  On a button: what is read out once it is copied. The
//                                        button of a POST form: the form is posted, with
//                                        "Accept: text/plain", and the answer's text is copied.
//   data-copy-from="id"                  The text of that element is copied; nothing is asked. Such
//                                        a button has type=button and the class needs-script.
//
// A string that was fetched goes to the clipboard and nowhere else. Where the browser refuses, the
// form is submitted as without scripts and its page shows the string.

const DONE_FOR_MS = 2000;

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (!button?.matches("[data-copy]") || released.has(form) || !canCopy()) return;
  event.preventDefault();
  copy(button, fetchText(requestOf(form, button)), () => submitPlainly(form, button));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-from]");
  const from = button && document.getElementById(button.dataset.copyFrom);
  if (!from) return;
  copy(button, Promise.resolve(from.textContent.trim()), () => {
    getSelection().selectAllChildren(from);
    say("The browser did not allow copying. The text is selected.");
  });
});

function canCopy() {
  return Boolean(navigator.clipboard?.write && window.ClipboardItem);
}

async function fetchText({ url, method, body }) {
  const headers = { "Accept": "text/plain", "X-Requested-With": "muster" };
  const answer = await fetch(url, { method, body, headers, redirect: "error" });
  const isText = answer.headers.get("Content-Type")?.startsWith("text/plain");
  if (!answer.ok || !isText) throw new Error("nothing to copy");
  return answer.text();
}

/** The clipboard gets the promise, not the text: it must be asked while the click still counts. */
async function copy(button, text, otherwise) {
  const rest = busy(button);
  const blob = text.then((it) => new Blob([it], { type: "text/plain" }));
  blob.catch(() => {});
  try {
    if (!canCopy()) throw new Error("no clipboard");
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    say(button.dataset.copy);
    showDone(button);
    rest();
  } catch {
    rest();
    otherwise();
  }
}

/** A check in place of the icon for a while. */
function showDone(button) {
  const use = button.querySelector("use");
  if (!use || button.classList.contains("is-done")) return;
  const icon = use.getAttribute("href");
  use.setAttribute("href", icon.replace(/#.*/, "#check"));
  button.classList.add("is-done");
  setTimeout(() => {
    use.setAttribute("href", icon);
    button.classList.remove("is-done");
  }, DONE_FOR_MS);
}
