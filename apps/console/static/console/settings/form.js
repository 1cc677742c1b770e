// Settings forms: shows the fields that apply to the selected options, describes what is typed, and proposes names.

const form = document.querySelector("#content-main form");
const FORMATS = /\.(json|ndjson|csv|tsv|xml|xlsx)(\.(gz|zst|zip))?$/i;

/** The value of a field; for a connection its kind, for an empty format that of the path's suffix. A format without its
    field is JSON, that of responses. */
function valueOf(name) {
  const field = form.elements.namedItem(name);
  if (!field) {
    return undefined;
  }
  if (field.dataset.kinds) {
    return field.value && JSON.parse(field.dataset.kinds)[field.value];
  }
  if (!name.endsWith("_format")) {
    return field.value;
  }
  if (!isMet(field.dataset.shownFor)) {
    return "json";
  }
  const path = form.elements.namedItem(name.replace("_format", "_path"))?.value ?? "";
  return field.value || (FORMATS.exec(path)?.[1].toLowerCase().replace("tsv", "csv") ?? "");
}

/** Whether a condition such as "source_connection=file|source_connection=http source_pagination_type=page,offset" holds:
    all parts of one of its alternatives. A connection whose kind is unknown satisfies every part. */
function isMet(condition) {
  return condition.split("|").some((alternative) =>
    alternative.split(" ").every((part) => {
      const [name, values] = part.split("=");
      const value = valueOf(name);
      return value === undefined || values.split(",").includes(value);
    }),
  );
}

function showApplicableFields() {
  for (const element of form.querySelectorAll("[data-shown-for]")) {
    const isShown = isMet(element.dataset.shownFor);
    if (!element.name) {
      element.hidden = !isShown;
      continue;
    }
    const box = element.closest(".fieldBox") ?? element.closest(".form-row");
    box.classList.toggle("hidden", !isShown && !box.querySelector(".errorlist"));
    const row = element.closest(".form-multiline");
    row?.classList.toggle("hidden", !row.querySelector(".fieldBox:not(.hidden)"));
  }
  for (const field of form.querySelectorAll("[data-placeholders]")) {
    const kind = valueOf(`${field.name.split("_")[0]}_connection`);
    field.placeholder = JSON.parse(field.dataset.placeholders)[kind] ?? "";
  }
  for (const fieldset of form.querySelectorAll("fieldset.module")) {
    fieldset.classList.toggle("hidden", !fieldset.querySelector(".form-row:not(.hidden)"));
  }
}

const requests = new Map();

/** Fetches the description of a field's value; null if another value was typed meanwhile, or if it is not available:
    descriptions are optional, and saving validates the value anyway. */
async function described(field, value) {
  requests.get(field)?.abort();
  const request = new AbortController();
  requests.set(field, request);
  const url = new URL(field.dataset.describeUrl, location.href);
  url.searchParams.set("value", value);
  url.searchParams.set("timezone", form.elements.namedItem("timezone")?.value ?? "");
  try {
    const response = await fetch(url, { signal: request.signal });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function describe(field) {
  const output = field.closest(".flex-container").querySelector(".description");
  const description = await described(field, field.value || field.placeholder);
  if (description) {
    output.textContent = description.text;
    output.classList.toggle("is-invalid", !description.is_valid);
  }
}

/** Learns the kind of a connection that was added in another window. */
async function learnKinds() {
  for (const field of form.querySelectorAll("[data-kinds]")) {
    const kinds = JSON.parse(field.dataset.kinds);
    if (!field.value || field.value in kinds) {
      continue;
    }
    const connection = await described(field, field.value);
    if (connection) {
      kinds[field.value] = connection.kind;
      field.dataset.kinds = JSON.stringify(kinds);
    }
  }
  showApplicableFields();
}

/** Fills `target` with the text of `source` until a person changes it; a new row may have a proposal already. */
function follow(source, target, convert) {
  if (!source || !target) {
    return;
  }
  const isNew = form.elements.namedItem("version")?.value === "";
  const isProposal = isNew && (!form.querySelector(".errornote") || target.value === convert(source.value));
  if (target.value && !isProposal) {
    return;
  }
  let proposed = target.value;
  source.addEventListener("input", () => {
    if (target.value === proposed) {
      proposed = convert(source.value).slice(0, target.maxLength > 0 ? target.maxLength : undefined);
      target.value = proposed;
    }
  });
}

function asSlug(text) {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
}

/** The host of an address, or the last folder, as a name. */
function asName(address) {
  const found = /^[a-z0-9+.-]+:\/\/([^/?#]*)(.*)$/i.exec(address.trim());
  return found ? asSlug(found[1] || found[2].split("/").filter(Boolean).pop() || "") : "";
}

/** Asks before the page is left with unsaved changes. */
function guardChanges() {
  let isChanged = form.querySelector(".errornote") !== null;
  form.addEventListener("input", () => {
    isChanged = true;
  });
  form.addEventListener("submit", (event) => {
    isChanged = isChanged && event.defaultPrevented;
  });
  addEventListener("beforeunload", (event) => {
    if (isChanged) {
      event.preventDefault();
    }
  });
}

if (form) {
  const fields = form.elements;
  guardChanges();
  showApplicableFields();
  form.addEventListener("change", learnKinds);
  // Django's window for a new connection reports only to jQuery.
  window.django?.jQuery?.(form).on("change", learnKinds);
  form.addEventListener("input", (event) => {
    const field = event.target.name === "timezone" ? fields.namedItem("schedule") : event.target;
    if (field.dataset.describeUrl && !field.dataset.kinds) {
      describe(field);
    }
    if (event.target.name.endsWith("_path")) {
      showApplicableFields();
    }
  });
  form.addEventListener("trial-ended", ({ target }) => {
    const error = target.querySelector("[data-script-line]");
    const detail = error && { line: Number(error.dataset.scriptLine), message: error.dataset.scriptReason };
    fields.namedItem("script")?.dispatchEvent(new CustomEvent("script-error", { detail }));
  });
  follow(fields.namedItem("name"), fields.namedItem("slug"), asSlug);
  follow(fields.namedItem("url"), fields.namedItem("name"), asName);
  const kind = fields.namedItem("kind");
  fields.namedItem("url")?.addEventListener("input", ({ target }) => {
    const scheme = /^([a-z0-9+.-]+):\/\//i.exec(target.value.trim())?.[1].toLowerCase();
    if (scheme && kind) {
      kind.value = scheme.startsWith("http") ? "http" : "file";
      showApplicableFields();
    }
  });
}
