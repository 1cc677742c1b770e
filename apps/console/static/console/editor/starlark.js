// Starlark for the script editor: highlighting and indentation.

import { StreamLanguage } from "./codemirror.js";

const KEYWORDS = new Set("and break continue def elif else for if in lambda load not or pass return".split(" "));
const ATOMS = new Set(["True", "False", "None"]);
// Functions of Starlark, and what a script of Synclog can use besides.
const BUILTINS = new Set(
  (
    "abs all any bool dict dir enumerate fail float getattr hasattr hash int len list max min print range repr reversed " +
    "set sorted str tuple type zip base64 dates hashing json log regex"
  ).split(" "),
);
const NUMBER = /^(?:0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/;
const STRING_START = /^(r?b?|br)("""|'''|"|')/;

/** Reads on in a string up to its end or the end of the line. */
function readString(stream, state) {
  while (!stream.eol()) {
    if (stream.match(state.quote)) {
      state.quote = "";
      return "string";
    }
    // A quote after a backslash does not end a string, also in a raw string.
    if (stream.next() === "\\") {
      stream.next();
    }
  }
  if (state.quote.length === 1) {
    state.quote = "";
  }
  return "string";
}

function readWord(word, stream, state) {
  const isDefined = state.isDef;
  state.isDef = word === "def";
  state.leaves ||= state.isFirst && ["return", "pass", "break", "continue"].includes(word);
  if (KEYWORDS.has(word)) {
    return "keyword";
  }
  if (ATOMS.has(word)) {
    return "atom";
  }
  if (isDefined) {
    return "def";
  }
  return BUILTINS.has(word) && !state.isAttribute ? "builtin" : "variable";
}

function readToken(stream, state) {
  if (stream.match(/^#.*/)) {
    return "comment";
  }
  const start = stream.match(STRING_START);
  if (start) {
    state.quote = start[2];
    return readString(stream, state);
  }
  if (stream.match(NUMBER)) {
    return "number";
  }
  const word = stream.match(/^[\p{L}_][\p{L}\p{N}_]*/u);
  if (word) {
    return readWord(word[0], stream, state);
  }
  const character = stream.next();
  if ("([{".includes(character)) {
    state.brackets.push(state.lineIndent);
  } else if (")]}".includes(character)) {
    state.brackets.pop();
  }
  return "()[]{},:.;".includes(character) ? "punctuation" : "operator";
}

export const starlark = StreamLanguage.define({
  name: "starlark",
  languageData: { commentTokens: { line: "#" }, indentOnInput: /^\s*(?:[\])}]|else:|elif\b.*:)$/ },

  startState: () => ({
    // Quotes of the string that is open, "" = none.
    quote: "",
    // Indentation of the line of each open bracket.
    brackets: [],
    lineIndent: 0,
    // Of the line: whether it ends in a colon, and whether it leaves its block, as `return` does.
    opensBlock: false,
    leaves: false,
    // Of the next token: whether it is the first of its line, the name in a `def`, or follows a dot.
    isFirst: true,
    isDef: false,
    isAttribute: false,
  }),
  copyState: (state) => ({ ...state, brackets: [...state.brackets] }),

  token(stream, state) {
    if (state.quote) {
      return readString(stream, state);
    }
    if (stream.sol()) {
      state.isFirst = true;
    }
    if (stream.eatSpace()) {
      return null;
    }
    if (state.isFirst && stream.peek() !== "#") {
      state.lineIndent = stream.indentation();
      state.leaves = false;
    }
    const token = readToken(stream, state);
    if (token !== "comment") {
      state.opensBlock = stream.current() === ":";
      state.isAttribute = stream.current() === ".";
      state.isFirst = false;
    }
    return token;
  },

  indent(state, textAfter, context) {
    if (state.quote) {
      return null;
    }
    if (state.brackets.length) {
      const outer = state.brackets.at(-1);
      return /^[\])}]/.test(textAfter) ? outer : outer + context.unit;
    }
    if (state.leaves || /^(?:else:|elif\b)/.test(textAfter)) {
      return Math.max(0, state.lineIndent - context.unit);
    }
    return state.opensBlock ? state.lineIndent + context.unit : state.lineIndent;
  },
});
