// The one WebSocket to the service. It is dialled again for as long as the page is open.

const RETRY_MS = 2000;

export class Line {
  /** `hear` is given each message; `change` whether the service is there. */
  constructor(hear, change) {
    this.hear = hear;
    this.change = change;
    this.dial();
  }

  dial() {
    clearTimeout(this.retry);
    if (this.socket && this.socket.readyState < WebSocket.CLOSING) return;
    const socket = (this.socket = new WebSocket(`ws://${location.host}/playground/line`));
    socket.onopen = () => this.change(true);
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = () => {
      this.change(false);
      this.retry = setTimeout(() => this.dial(), RETRY_MS);
    };
  }

  get isThere() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  tell(kind, fields = {}) {
    if (this.isThere) this.socket.send(JSON.stringify({ kind, ...fields }));
  }
}
