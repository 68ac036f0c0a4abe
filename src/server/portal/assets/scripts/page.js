// The page: how it is asked for, how it takes the place of the one on screen, and how it is left to
// the browser when anything is not as expected. The other files say when.
//
//   data-part="name"    An element that is swapped as a whole; parts do not nest. Two pages of one
//                       address path with the same parts swap these, any others swap the body.
//   id                  On what may hold the focus within a part, so that it holds it afterwards.
//   data-say            In a part: once swapped, its value, or its text where that is empty, is
//                       read out if it is new ("14 keys").
//   data-busy="Saving"  On a submit button: what it says from 400 ms on until there is an answer.
//
// A form names its action: its page may stand under another address. All files together are one
// module: their names are shared among them and seen by nobody else. Every page works without any
// of this, and nothing is kept outside the page.

const SIGN_IN = "/sign-in";
const BUSY_AFTER_MS = 400;

/** The address of the page on screen, also while the browser has gone back and we have not. */
let shown = location.href;

/** Forms that were given back to the browser: nobody here takes them again. */
const released = new WeakSet();

/** Submits a form as if no script were here; later, for a form does not submit while it submits. */
function submitPlainly(form, button) {
  released.add(form);
  setTimeout(() => form.requestSubmit(button));
}

/** A click that asks for this page and not for a new tab, a window or a file. */
function isPlain(event) {
  const modified = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  return event.button === 0 && !modified && !event.defaultPrevented;
}

/** What submitting `form` by `button` would ask for. Empty fields of a GET stay out of the address. */
function requestOf(form, button) {
  const given = (name) => button?.getAttribute(`form${name}`) ?? form.getAttribute(name) ?? "";
  const url = new URL(given("action"), document.baseURI);
  const fields = new URLSearchParams(new FormData(form, button));
  if (given("method").toLowerCase() === "post") return { url, method: "POST", body: fields };
  url.search = new URLSearchParams([...fields].filter(([, value]) => value !== ""));
  return { url, method: "GET" };
}

/**
 * Asks for a page and hands it to `use`. Whatever goes wrong, the browser does it without us: the
 * very same (`plainly`) without an answer or after a refusal that cannot be shown here, otherwise
 * only the page it led to, so that nothing that was done is posted again. An ended session answers
 * 401 or with the sign-in page; both go the same way.
 */
async function attempt({ request, control, plainly, signal }, use) {
  const rest = busy(control);
  let instead = plainly;
  let failure = null;
  try {
    const { url, ...init } = request;
    const headers = { "X-Requested-With": "muster" };
    const answer = await fetch(url, { ...init, headers, signal });

    const posted = request.method === "POST";
    const kept = posted && !answer.redirected;
    if (answer.ok || !kept) instead = () => location.assign(kept ? shown : answer.url);
    const isPage = answer.headers.get("Content-Type")?.startsWith("text/html");
    const isOver = answer.status === 401 || new URL(answer.url).pathname === SIGN_IN;
    if (!isPage || isOver) throw new Error("not for this page");

    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (filesOf(page) !== filesOf(document)) throw new Error("the portal was updated");
    use({ page, url: new URL(answer.url), status: answer.status, posted, kept });
  } catch (error) {
    failure = error;
  }
  rest();
  if (failure && failure.name !== "AbortError") instead();
}

/** The style sheets and scripts of a page; their names change with their content. */
function filesOf(page) {
  const files = page.head.querySelectorAll("link[rel=stylesheet], script[src]");
  return [...files].map((file) => file.getAttribute("href") ?? file.getAttribute("src")).join();
}

/**
 * Puts an answer on screen. `entry` is what the history gets: "push", "replace", or nothing when
 * the browser is there already. An answer that was not led elsewhere after a POST (`kept`: errors)
 * has no address of its own and leaves the one there is.
 */
function show({ page, url, posted, kept }, entry) {
  const stays = !kept && url.pathname === new URL(shown).pathname;
  const parts = stays ? sameParts(page) : null;
  if (!kept) {
    if (entry === "push" && url.href !== shown) history.pushState(null, "", url);
    if (entry === "replace") history.replaceState(null, "", url);
    shown = url.href;
  }

  const { theme } = page.documentElement.dataset;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.title = page.title;

  const said = textsToSay();
  if (parts) {
    swapParts(parts, !posted);
  } else {
    document.body.replaceWith(page.body);
    scrollTo(0, 0);
    focusOn(document.querySelector("[autofocus]") ?? document.querySelector("main"));
  }
  const news = textsToSay().filter((text) => !said.includes(text));
  if (news.length > 0) say(news.join(" "));
}

/** Pairs of old and new parts, or null when the pages differ in more than these. */
function sameParts(page) {
  const [old, fresh] = [document, page].map((from) => [...from.querySelectorAll("[data-part]")]);
  const names = (parts) => parts.map((part) => part.dataset.part).join();
  if (old.length === 0 || names(old) !== names(fresh)) return null;
  return old.map((part, i) => [part, fresh[i]]);
}

/** Swaps the parts that differ. Focus, caret, what is being typed, ticks and scroll stay. */
function swapParts(pairs, withTicks) {
  const held = document.activeElement;
  const caret = typeof held.selectionStart === "number"
    ? [held.selectionStart, held.selectionEnd, held.selectionDirection]
    : null;
  const place = [scrollX, scrollY];
  let around = null;

  for (const [old, fresh] of pairs) {
    if (old.isEqualNode(fresh)) continue;
    if (old.contains(held)) around = fresh;
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    if (withTicks) keepTicks(old, fresh);
    old.replaceWith(fresh);
    fresh.querySelectorAll(".scroll").forEach((box, i) => (box.scrollLeft = scrolled[i] ?? 0));
  }
  scrollTo(...place);
  if (!around) return;

  const next = held.id ? document.getElementById(held.id) : null;
  focusOn(next ?? around);
  if (!next || !caret) return;
  if (isFilter(next.form)) next.value = held.value;
  next.setSelectionRange(...caret);
}

/** Rows that are still in the list stay ticked. */
function keepTicks(old, fresh) {
  const ticked = [...old.querySelectorAll("tbody .cb[name]:checked")];
  const key = (box) => `${box.name}=${box.value}`;
  const keys = new Set(ticked.map(key));
  if (keys.size === 0) return;
  for (const box of fresh.querySelectorAll("tbody .cb[name]")) box.checked ||= keys.has(key(box));
}

/** Focuses without scrolling; what lies in a closed menu hands over to the menu's button. */
function focusOn(element) {
  const target = element?.closest("details:not([open])")?.querySelector("summary") ?? element;
  if (!target) return;
  target.focus({ preventScroll: true });
  if (document.activeElement === target) return;
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

/** Marks a control and its part as busy; returns what ends it. */
function busy(control) {
  const marked = [control, control?.closest("[data-part]")].filter(Boolean);
  for (const element of marked) element.setAttribute("aria-busy", "true");

  let label = null;
  const words = control?.dataset.busy;
  const timer = setTimeout(() => {
    if (!words) return;
    label = [...control.childNodes];
    control.style.inlineSize = `${control.getBoundingClientRect().width}px`;
    control.replaceChildren(words);
  }, BUSY_AFTER_MS);

  return () => {
    clearTimeout(timer);
    for (const element of marked) element.removeAttribute("aria-busy");
    if (!label) return;
    control.replaceChildren(...label);
    control.style.inlineSize = "";
  };
}

const voice = document.createElement("p");
voice.className = "vh voice";
voice.setAttribute("role", "status");
document.body.append(voice);
let speaking;

/** Has a screen reader say `text` when it is next silent. */
function say(text) {
  if (!voice.isConnected) document.body.append(voice);
  clearTimeout(speaking);
  voice.textContent = "";
  speaking = setTimeout(() => (voice.textContent = text), 100);
}

/** What the parts on screen have to say. */
function textsToSay() {
  const speakers = [...document.querySelectorAll("[data-part] [data-say], [data-part][data-say]")];
  return speakers.map((from) => from.dataset.say || from.textContent.trim().replace(/\s+/g, " "));
}
