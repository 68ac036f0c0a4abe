// Links and forms that stay on their page: fetched, and the parts that changed swapped.
//
//   a[data-fetch]                    Sort, pages, rows per page, show and hide, open rows, refresh.
//   form[data-fetch] with GET        Filters: sent while one types, and at once for a choice. Its
//                                    Apply has the class apply and is hidden while a script runs.
//   form[data-fetch method=post]     Columns, theme, saved filters: posted, the redirect followed.
//
// The address is always that of the page one would have come to without scripts.

const TYPING_MS = 250;

/** The page under way. A newer question takes its place; a POST is never called back. */
let asked = new AbortController();

function supersede() {
  asked.abort();
  asked = new AbortController();
  return asked.signal;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-fetch]");
  if (!link || !isPlain(event)) return;
  event.preventDefault();
  const request = { url: link.href, method: "GET" };
  const plainly = () => location.assign(link.href);
  attempt({ request, control: link, plainly, signal: supersede() }, (answer) => show(answer, "push"));
});

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (event.defaultPrevented || released.has(form) || !form.matches("[data-fetch]")) return;
  event.preventDefault();
  if (isFilter(form)) {
    filter(form);
    return;
  }
  const plainly = () => submitPlainly(form, button);
  const how = { request: requestOf(form, button), control: button ?? form, plainly };
  attempt(how, (answer) => show(answer, "push"));
});

function isFilter(form) {
  return Boolean(form?.matches("form[data-fetch]:not([method=post i])"));
}

let typing;

function filter(form) {
  clearTimeout(typing);
  const request = requestOf(form);
  const plainly = () => location.assign(request.url);
  const how = { request, control: form, plainly, signal: supersede() };
  attempt(how, (answer) => show(answer, "replace"));
}

/** Nothing is swapped while one types: what is under way is called off first. */
function onTyping(event) {
  const { target: field } = event;
  if (event.isComposing || !isFilter(field.form)) return;
  supersede();
  clearTimeout(typing);
  const isChoice = field.matches("select, [type=checkbox], [type=radio]");
  typing = setTimeout(() => filter(field.form), isChoice ? 0 : TYPING_MS);
}

document.addEventListener("input", onTyping);
document.addEventListener("compositionend", onTyping);

addEventListener("popstate", () => {
  const [here, there] = [location.href, shown].map((address) => address.split("#")[0]);
  if (here === there) return;
  const request = { url: location.href, method: "GET" };
  const how = { request, control: null, plainly: () => location.reload(), signal: supersede() };
  attempt(how, (answer) => show(answer));
});
