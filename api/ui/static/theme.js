// Before the first paint, so that a chosen theme does not flash: not a module, which would run after it.
"use strict";
try {
  document.documentElement.dataset.theme = localStorage.getItem("embedd.theme") ?? "auto";
} catch {
  document.documentElement.dataset.theme = "auto"; // storage is switched off
}
