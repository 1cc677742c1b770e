// Colours of the script editor, from the design tokens: they follow the theme of the page.

import { EditorView, HighlightStyle, syntaxHighlighting, tags } from "./codemirror.js";

const layout = EditorView.theme({
  "&": {
    border: "1px solid var(--border-strong)",
    borderRadius: "var(--radius-small)",
    backgroundColor: "var(--surface)",
    color: "var(--text)",
    fontSize: "0.8125rem",
    maxHeight: "40rem",
    containerType: "inline-size",
  },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.5", minHeight: "20rem", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-gutters": {
    backgroundColor: "var(--surface-muted)",
    borderColor: "var(--border)",
    color: "var(--text-muted)",
  },
  ".cm-line ::selection, .cm-line::selection": { backgroundColor: "color-mix(in srgb, var(--accent) 30%, transparent)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--surface-hover) 60%, transparent)" },
  ".cm-selectionMatch": { backgroundColor: "var(--accent-soft)" },
  ".cm-searchMatch": { backgroundColor: "var(--amber-soft)", outline: "1px solid var(--amber)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--accent-soft)", outline: "2px solid var(--accent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--red-soft)" },
  ".cm-specialChar": { color: "var(--red)" },

  ".cm-error-line": { backgroundColor: "color-mix(in srgb, var(--red-soft) 60%, transparent)" },
  ".cm-error-mark": { color: "var(--red)", fontWeight: "600" },
  ".cm-error-mark::before": { content: "'✖ '", fontSize: "0.75em" },
  // Beside the line numbers and within the window, however long the lines are.
  ".cm-error-message": {
    position: "sticky",
    insetInlineStart: "3rem",
    boxSizing: "border-box",
    inlineSize: "calc(100cqi - 3.5rem)",
    padding: "3px 10px 4px",
    borderInlineStart: "3px solid var(--red)",
    backgroundColor: "var(--red-soft)",
    fontFamily: "var(--font)",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    color: "var(--red)",
  },

  ".cm-panels": { backgroundColor: "var(--surface-muted)", color: "var(--text)" },
  ".cm-panels.cm-panels-top": { borderBottom: "1px solid var(--border)" },
  ".cm-panel": { fontFamily: "var(--font)" },
  ".cm-panel.cm-search": { padding: "6px 28px 6px 8px" },
  ".cm-panel.cm-search label": { fontSize: "0.75rem", color: "var(--text-medium)" },
  ".cm-panel :is(input, button)": { fontSize: "0.75rem" },
  ".cm-textfield": {
    padding: "3px 8px",
    border: "1px solid var(--border-strong)",
    borderRadius: "var(--radius-small)",
    backgroundColor: "var(--surface)",
    color: "var(--text)",
  },
  ".cm-button": {
    padding: "3px 8px",
    border: "1px solid var(--border-strong)",
    borderRadius: "var(--radius-small)",
    backgroundColor: "var(--surface)",
    backgroundImage: "none",
    color: "var(--text)",
  },
  ".cm-panel button[name=close], .cm-dialog-close": { color: "var(--text)", cursor: "pointer" },
});

const highlighting = HighlightStyle.define([
  { tag: [tags.keyword, tags.atom], color: "var(--violet)" },
  { tag: tags.string, color: "var(--green)" },
  { tag: tags.number, color: "var(--cyan)" },
  { tag: tags.comment, color: "var(--text-muted)", fontStyle: "italic" },
  { tag: tags.definition(tags.variableName), color: "var(--blue)", fontWeight: "600" },
  { tag: tags.standard(tags.variableName), color: "var(--blue)" },
  { tag: [tags.operator, tags.punctuation], color: "var(--text-medium)" },
]);

export const theme = [layout, syntaxHighlighting(highlighting)];
