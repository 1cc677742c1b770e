// Passkeys: creates or uses one, and sends the form with the result.

/** The options that the server chose: in the page, or for a login without a username from the address of the form. */
async function options(form) {
  const embedded = document.querySelector("#passkey-options");
  if (embedded) {
    return JSON.parse(embedded.textContent);
  }
  const response = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!response.ok) {
    throw new Error(response.statusText);
  }
  return response.json();
}

async function createPasskey(form) {
  const publicKey = (await options(form)).creation_options.publicKey;
  publicKey.authenticatorSelection = { residentKey: "required", requireResidentKey: true, userVerification: "required" };
  return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
}

async function usePasskey(form) {
  const { publicKey } = (await options(form)).request_options;
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
}

async function send(form) {
  const error = form.querySelector("[role=alert]:last-of-type");
  error.hidden = true;
  try {
    const credential = await (form.dataset.passkey === "create" ? createPasskey(form) : usePasskey(form));
    form.elements.credential.value = JSON.stringify(credential);
    form.submit();
  } catch {
    // Browsers do not say whether the user cancelled or has no passkey here.
    error.textContent = form.dataset.failed;
    error.hidden = false;
  }
}

const isSupported = Boolean(globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON);
for (const form of document.querySelectorAll("[data-passkey]")) {
  form.hidden = !isSupported;
  const button = form.querySelector("button");
  button.addEventListener("click", () => send(form));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.click();
  });
}
document.querySelector("[data-no-passkeys]")?.toggleAttribute("hidden", isSupported);
