// Script editor in place of a textarea with `data-editor-texts`; without JavaScript the textarea remains.
//
// The textarea keeps the text and is submitted: it follows the editor, with an `input` event, and the editor follows it.
// A `script-error` event on the textarea shows an error at its line: detail {line, message}, or null for none.

import {
  EditorState,
  EditorView,
  bracketMatching,
  defaultKeymap,
  highlightActiveLine,
  highlightSelectionMatches,
  highlightSpecialChars,
  history,
  historyKeymap,
  indentOnInput,
  indentUnit,
  indentWithTab,
  keymap,
  lineNumbers,
  search,
  searchKeymap,
} from "./codemirror.js";
import { errorField, setError } from "./error-marker.js";
import { starlark } from "./starlark.js";
import { theme } from "./theme.js";

/** Types over a selection. The browser would keep the style of the replaced text in an attribute, which the CSP forbids. */
const replaceSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const isTyped = event.inputType === "insertText" && event.data && !event.isComposing;
    if (!isTyped || view.state.selection.main.empty) {
      return false;
    }
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

function extensions(area, texts) {
  return [
    lineNumbers(),
    history(),
    search({ top: true }),
    bracketMatching(),
    indentOnInput(),
    highlightActiveLine(),
    highlightSelectionMatches(),
    highlightSpecialChars(),
    replaceSelection,
    errorField,
    starlark,
    theme,
    indentUnit.of("    "),
    EditorState.tabSize.of(4),
    EditorState.phrases.of(texts.phrases),
    keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, indentWithTab]),
    EditorView.contentAttributes.of({
      "aria-label": area.labels[0]?.textContent.replace(/:$/, "") ?? "",
      "aria-describedby": "editor-hint",
      tabindex: "0",
    }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged && area.value !== update.state.doc.toString()) {
        area.value = update.state.doc.toString();
        area.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }),
  ];
}

/** A shadow root with the editor and its hint. The CSP forbids <style> elements; in a shadow root CodeMirror needs none. */
function createEditor(area, texts) {
  const host = document.createElement("div");
  host.className = "script-editor";
  const root = host.attachShadow({ mode: "open" });
  const view = new EditorView({ doc: area.value, extensions: extensions(area, texts), parent: root, root });
  const hint = document.createElement("p");
  hint.id = "editor-hint";
  hint.part = "hint";
  hint.textContent = texts.hint;
  root.append(hint);
  // Shortcuts of the page see the host as the target, not a field.
  host.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) {
      event.stopPropagation();
    }
  });
  // The textarea reports its own event.
  host.addEventListener("input", (event) => event.stopPropagation());
  area.after(host);
  return view;
}

/** Shows the error, or null for none, and scrolls the editor to its line. */
function showError(view, error) {
  view.dispatch({ effects: setError.of(error) });
  const shown = view.state.field(errorField);
  if (shown) {
    view.scrollDOM.scrollTop = view.lineBlockAt(shown.from).top - view.scrollDOM.clientHeight / 3;
  }
}

function start(area) {
  const hadFocus = document.activeElement === area;
  const { selectionStart: anchor, selectionEnd: head } = area;
  const view = createEditor(area, JSON.parse(area.dataset.editorTexts));
  const follow = () => {
    const { doc } = view.state;
    if (area.value !== doc.toString()) {
      view.dispatch({ changes: { from: 0, to: doc.length, insert: area.value } });
    }
  };
  area.hidden = true;
  area.addEventListener("input", follow);
  // The browser restores the fields of a page that it shows again.
  addEventListener("pageshow", follow);
  area.addEventListener("script-error", (event) => showError(view, event.detail));
  for (const label of area.labels) {
    label.addEventListener("click", () => view.focus());
  }
  if (area.dataset.errorLine) {
    showError(view, { line: Number(area.dataset.errorLine), message: area.dataset.errorMessage });
  }
  if (hadFocus) {
    view.dispatch({ selection: { anchor, head } });
    view.focus();
  }
}

const area = document.querySelector("textarea[data-editor-texts]");
if (area) {
  start(area);
}
