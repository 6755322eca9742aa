// The browser's own ears and mouth, where it has them. Nothing here is needed to use the page.

const Recognition = window.SpeechRecognition ?? window.webkitSpeechRecognition;
const SENTENCE = /^[\s\S]*?[.!?…]["”’)]*(?=\s)/;
const USUAL_PACE = 2.7; // words a second, at rate 1

export const canListen = Boolean(Recognition);
export const canSpeak = "speechSynthesis" in window;

const TROUBLES = {
  "not-allowed": "The microphone was refused. You can go on by typing.",
  "service-not-allowed": "This browser does not let pages recognise speech. You can go on by typing.",
  "audio-capture": "No microphone was found. You can go on by typing.",
  network: "This browser could not reach its speech service. You can go on by typing.",
};

/** Listens. `typed` is told the words so far, `said` a whole utterance, `changed` whether it listens. */
export class Ears {
  constructor({ typed, said, changed, failed }) {
    Object.assign(this, { typed, said, changed, failed, keeps: false, isOn: false });
  }

  listen() {
    if (this.isOn) return;
    const ears = (this.recognition = new Recognition());
    Object.assign(ears, { interimResults: true, continuous: false, lang: navigator.language });
    ears.onresult = (event) => {
      const results = [...event.results];
      const text = results.map((result) => result[0].transcript).join(" ").trim();
      if (!text) return;
      if (results.every((result) => result.isFinal)) this.said(text);
      else this.typed(text);
    };
    ears.onerror = (event) => {
      if (TROUBLES[event.error]) {
        this.keeps = false;
        this.failed(TROUBLES[event.error]);
      }
    };
    ears.onend = () => {
      this.set(false);
      if (this.keeps) this.listen();
    };
    ears.start();
    this.set(true);
  }

  stop() {
    this.keeps = false;
    this.recognition?.stop();
  }

  set(isOn) {
    this.isOn = isOn;
    this.changed(isOn);
  }
}

/** Speaks each sentence as it is complete. */
export class Mouth {
  constructor() {
    this.isOn = false;
    this.waiting = "";
    this.pace = USUAL_PACE;
  }

  add(text) {
    this.waiting += text;
    for (let found; (found = this.waiting.match(SENTENCE)); ) {
      this.waiting = this.waiting.slice(found[0].length);
      this.speak(found[0]);
    }
  }

  finish() {
    this.speak(this.waiting);
    this.waiting = "";
  }

  speak(text) {
    if (!this.isOn || !canSpeak || !text.trim()) return;
    const words = new SpeechSynthesisUtterance(text.trim());
    words.rate = Math.min(2, Math.max(0.5, this.pace / USUAL_PACE));
    speechSynthesis.speak(words);
  }

  hush() {
    this.waiting = "";
    if (canSpeak) speechSynthesis.cancel();
  }
}
