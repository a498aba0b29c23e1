// Small comforts; every page works without them.
"use strict";

// Remember the name that verbs are signed with.
const nameKey = "modelwarden.name";
for (const input of document.querySelectorAll("input[data-who]")) {
  if (!input.value) input.value = localStorage.getItem(nameKey) || "";
  input.addEventListener("change", () => {
    localStorage.setItem(nameKey, input.value);
    for (const other of document.querySelectorAll("input[data-who]")) other.value = input.value;
  });
}

// Ask before what can't be undone.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (e) => {
    if (!confirm(form.dataset.confirm)) e.preventDefault();
  });
}

// Leave empty filters out of the address.
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("submit", () => {
    for (const input of form.elements) if (input.name && !input.value) input.disabled = true;
  });
}
