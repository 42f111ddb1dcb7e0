// Where the network runs: on a server, or in this tab. The choice is remembered.

const KEY = "turnstream.place";

export class Place {
  /**
   * @param {HTMLElement} choice has the radio buttons; hidden where there is nothing to choose
   * @param {Function} onchange called after a choice
   */
  constructor(choice, onchange) {
    this.files = null; // of the network, for this tab; null: it cannot run here
    this._choice = choice;
    this._radios = [...choice.querySelectorAll("input")];
    for (const radio of this._radios) {
      radio.onchange = () => {
        remember(radio.value);
        onchange();
      };
    }
  }

  /**
   * Take what the page was told, and the choice of the last visit.
   *
   * @param {object | null} facts {server, tab} of v1/page; null: a server that does not know it
   * @param {boolean} namesServer whether the page's address names a server
   */
  offer(facts, namesServer) {
    this.files = facts?.tab ?? null;
    const hasServer = namesServer || (facts?.server ?? true);
    const before = namesServer ? "server" : remembered();
    const isTab = this.files !== null && (!hasServer || before === "tab");
    for (const radio of this._radios) radio.checked = radio.value === (isTab ? "tab" : "server");
    this._choice.hidden = this.files === null || !hasServer;
  }

  get isTab() {
    return this._radios.some(({ value, checked }) => value === "tab" && checked);
  }
}

function remember(place) {
  try {
    localStorage.setItem(KEY, place);
  } catch {
    // a browser that keeps nothing asks anew on the next visit
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
