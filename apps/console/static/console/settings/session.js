// Checks the session before a settings form is sent: without one, what was entered would be lost.
//
// templates/admin/change_form.html has the dialog, with the URL of the check and what is shown in each state.

const TIMEOUT_MS = 10000;
const dialog = document.getElementById("session-dialog");
const form = document.querySelector("#content-main form");
let isChecking = false;
let isChecked = false;

/** The CSRF token of the session, null if it has expired. */
async function readToken() {
  const response = await fetch(dialog.dataset.url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.type === "opaqueredirect") {
    return null;
  }
  if (!response.ok) {
    throw new Error(`Status ${response.status}`);
  }
  return (await response.json()).csrf_token;
}

function show(state) {
  for (const part of dialog.querySelectorAll("[data-state]")) {
    part.hidden = part.dataset.state !== state;
  }
  dialog.showModal();
}

async function send(submitter) {
  try {
    const token = await readToken();
    if (token === null) {
      show("expired");
      return;
    }
    form.elements.namedItem("csrfmiddlewaretoken").value = token;
  } catch {
    show("offline");
    return;
  }
  isChecked = true;
  form.requestSubmit(submitter);
  isChecked = false;
}

if (dialog && form) {
  form.addEventListener("submit", async (event) => {
    const { submitter } = event;
    if (isChecked || event.defaultPrevented || submitter?.hasAttribute("formaction")) {
      return;
    }
    event.preventDefault();
    if (!isChecking) {
      isChecking = true;
      await send(submitter);
      isChecking = false;
    }
  });
}
