// Last: says that all of the above runs. Style sheets hide Apply, and show what only a script can
// do, from here on; a script that failed to load leaves a page that is complete without it.

document.documentElement.dataset.live = "";
