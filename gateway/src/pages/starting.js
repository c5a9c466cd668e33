
"use strict";
const items = document.querySelectorAll("[data-phase]");
const detail = document.querySelector(".detail");
const now = document.querySelector(".now");

function show(error) {
  let state = "done";
  for (const item of items) {
    const isCurrent = item.dataset.phase === (error.phase ?? items[0].dataset.phase);
    if (isCurrent) {
      state = "running";
      // Said aloud only when it changes.
      if (now.textContent !== item.textContent) now.textContent = item.textContent;
    }
    item.dataset.state = state;
    if (isCurrent) state = "pending";
  }
  detail.textContent = error.detail ?? "";
}

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "application/json" }, cache: "no-store", redirect: "manual" });
    const error = answer.status === 503 ? (await answer.json()).error : null;
    if (error?.code !== "workspace_starting") return location.reload();
    show(error);
  } catch {
    // The network is away for a moment, or what answered is the workspace: the next look tells.
  }
  setTimeout(look, 1000);
}

setTimeout(look, 1000);
