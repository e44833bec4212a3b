// What went wrong, as one sentence for a visitor. Only faults of the message itself show the server's own sentence, since that says what to change.

const SENTENCES = {
  offline: "The server cannot be reached just now.",
  broken: "The reply broke off before it was complete.",
  401: "This server asks for an access key.",
  404: "There is no one of that name here any more.",
  413: "That is more than can be taken in at once; please make it shorter.",
  429: "Many people are asking at once.",
  503: "The library is closed for a moment, so nothing can be looked up.",
  504: "Looking this up took longer than it may.",
};

// A fault in the middle of a stream comes without an HTTP status, only with the server's code for it.
const KINDS = { generator_unavailable: 503, library_unavailable: 503, rail_unavailable: 503, budget_exceeded: 504, overloaded: 429, shutting_down: 503 };

export class Failure extends Error {
  /** `kind` is an HTTP status, `offline` or `broken`; `retryAfter` is in seconds. */
  constructor(kind, { message = "", code = "", retryAfter = 0 } = {}) {
    super(((kind === 400 || kind === 422) && message) || SENTENCES[kind] || "Something went wrong on the server's side.");
    this.kind = kind;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same message may fare better later; if not, the visitor has to change it. */
  get canRetry() {
    return ![400, 404, 413, 422].includes(this.kind);
  }

  /** The failure that an HTTP answer with a bad status stands for. */
  static async of(response) {
    const seconds = Number.parseFloat(response.headers.get("retry-after") ?? "");
    const body = await response.json().catch(() => ({}));
    return Failure.from(body, response.status, Number.isFinite(seconds) ? Math.max(seconds, 0) : 1);
  }

  /** The failure that an error envelope `{error: {message, type, param, code}}` stands for; without a status its code tells the kind. */
  static from(body, status, retryAfter = 1) {
    const error = body?.error ?? {};
    return new Failure(status ?? KINDS[error.code] ?? "broken", { message: String(error.message ?? ""), code: String(error.code ?? ""), retryAfter });
  }
}
