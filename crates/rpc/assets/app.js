// The terminals of `tuxlet web`. The server's side, with its messages, is crates/rpc/src/web.rs.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);

  // The token comes in the fragment, which is not sent to the server and does not stay in the address.
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  const token = sessionStorage.getItem("token") ?? "";
  const bearer = { Authorization: `Bearer ${token}` };

  let messageTimer;
  function tell(text, milliseconds = 4000) {
    $("message").textContent = text;
    $("message").hidden = text === "";
    clearTimeout(messageTimer);
    if (milliseconds) messageTimer = setTimeout(() => ($("message").hidden = true), milliseconds);
  }

  const tabs = [];
  let current;

  class Tab {
    // `id`: of a terminal that there is; none: a new one.
    constructor(id) {
      this.id = id;
      // Bytes shown.
      this.offset = 0;
      this.delay = 250;
      this.over = false;
      this.screen = document.createElement("div");
      this.screen.className = "screen";
      $("screens").append(this.screen);
      this.terminal = new Terminal({
        allowProposedApi: true,
        cursorBlink: false,
        fontFamily: "'DejaVu Sans Mono', Menlo, Consolas, monospace",
        fontSize: 15,
        scrollback: 10000,
        theme: { background: "#1b1d1e", foreground: "#d8d8d8" },
      });
      this.fit = new FitAddon.FitAddon();
      this.search = new SearchAddon.SearchAddon();
      this.terminal.loadAddon(this.fit);
      this.terminal.loadAddon(this.search);
      this.terminal.loadAddon(new WebLinksAddon.WebLinksAddon());
      // Programs may fill the clipboard (OSC 52), but not read it.
      const clipboard = {
        readText: () => "",
        writeText: (_selection, text) => navigator.clipboard?.writeText(text).catch(() => {}),
      };
      this.terminal.loadAddon(new ClipboardAddon.ClipboardAddon(undefined, clipboard));
      this.terminal.open(this.screen);
      const encoder = new TextEncoder();
      this.terminal.onData((text) => this.type(encoder.encode(text)));
      this.terminal.onBinary((text) => this.type(Uint8Array.from(text, (c) => c.charCodeAt(0))));
      this.terminal.onResize(({ rows, cols }) => this.say({ resize: { rows, cols } }));
      this.terminal.onTitleChange((title) => this.label(title));
      this.terminal.attachCustomKeyEventHandler((event) => !shortcut(event));
      this.button();
      tabs.push(this);
      this.select();
      this.connect();
    }

    button() {
      this.tab = document.createElement("div");
      this.tab.className = "tab";
      this.tab.setAttribute("role", "tab");
      this.name = document.createElement("button");
      this.name.onclick = () => this.select();
      const close = document.createElement("button");
      close.className = "close";
      close.title = "Close";
      close.textContent = "×";
      close.onclick = () => this.close();
      this.tab.append(this.name, close);
      $("tabs").append(this.tab);
      this.label("Terminal");
    }

    label(text) {
      this.name.textContent = text || "Terminal";
      if (current === this) document.title = `${text || "Terminal"} – Tuxlet`;
    }

    select() {
      current = this;
      for (const tab of tabs) {
        tab.screen.classList.toggle("current", tab === this);
        tab.tab.setAttribute("aria-selected", String(tab === this));
      }
      this.fit.fit();
      this.terminal.focus();
      document.title = `${this.name.textContent} – Tuxlet`;
    }

    connect() {
      this.fit.fit();
      const { rows, cols } = this.terminal;
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      const socket = new WebSocket(`${scheme}//${location.host}/terminal`, ["tuxlet-terminal", `bearer.${token}`]);
      socket.binaryType = "arraybuffer";
      this.socket = socket;
      socket.onopen = () => {
        const first = this.id === undefined ? { open: { rows, cols } } : { attach: { id: this.id, offset: this.offset, rows, cols } };
        socket.send(JSON.stringify(first));
      };
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") this.hear(JSON.parse(data));
        else this.show(new Uint8Array(data));
      };
      socket.onclose = () => this.lost();
    }

    hear(message) {
      if (message.terminal) {
        this.id = message.terminal.id;
        this.delay = 250;
        this.tab.classList.remove("lost");
        // Another server's life.
        if (message.terminal.offset < this.offset) this.terminal.reset();
        this.offset = message.terminal.offset;
      } else if (message.missed !== undefined) {
        this.terminal.reset();
        this.offset = message.missed;
      } else if (message.ended) {
        this.finish(message.ended.code === 0 ? "" : `ended with ${message.ended.code}`);
      } else if (message.error) {
        this.finish(message.error);
      }
    }

    show(bytes) {
      this.offset += bytes.length;
      const offset = this.offset;
      this.terminal.write(bytes, () => this.say({ shown: offset }));
    }

    // The program has ended. A tab with nothing to read is closed, unless it is the last one.
    finish(why) {
      this.over = true;
      if (why === "" && tabs.length > 1) return this.remove();
      this.terminal.write(`\r\n\x1b[7m ${why || "ended"} \x1b[0m press Enter for another one\r\n`);
      this.tab.classList.add("lost");
    }

    lost() {
      if (this.over) return;
      this.tab.classList.add("lost");
      setTimeout(() => !this.over && this.connect(), this.delay);
      this.delay = Math.min(this.delay * 2, 5000);
    }

    say(message) {
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    }

    type(bytes) {
      if (this.over) {
        if (bytes.includes(13)) {
          new Tab();
          this.remove();
        }
      } else if (this.socket.readyState === WebSocket.OPEN) {
        this.socket.send(bytes);
      }
    }

    close() {
      this.say({ close: true });
      this.over = true;
      this.remove();
    }

    remove() {
      this.socket.close();
      const at = tabs.indexOf(this);
      tabs.splice(at, 1);
      this.tab.remove();
      this.screen.remove();
      this.terminal.dispose();
      if (tabs.length === 0) new Tab();
      else if (current === this) tabs[Math.min(at, tabs.length - 1)].select();
    }
  }

  // Keys that are ours; true: taken.
  function shortcut(event) {
    if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey) return false;
    const taken = {
      KeyC: () => navigator.clipboard?.writeText(current.terminal.getSelection()).catch(() => tell("no clipboard here")),
      KeyV: () => navigator.clipboard?.readText().then((text) => current.terminal.paste(text), () => tell("no clipboard here")),
      KeyF: () => openSearch(),
      KeyT: () => new Tab(),
      PageUp: () => neighbour(-1).select(),
      PageDown: () => neighbour(1).select(),
    }[event.code];
    if (!taken) return false;
    event.preventDefault();
    taken();
    return true;
  }

  function neighbour(step) {
    return tabs[(tabs.indexOf(current) + step + tabs.length) % tabs.length];
  }

  const marks = { decorations: { matchOverviewRuler: "#e0a030", activeMatchColorOverviewRuler: "#ffffff", matchBackground: "#705010", activeMatchBackground: "#c08020" } };

  function openSearch() {
    $("search").hidden = false;
    $("term").focus();
    $("term").select();
  }

  function closeSearch() {
    $("search").hidden = true;
    current.search.clearDecorations();
    current.terminal.focus();
  }

  $("term").oninput = () => current.search.findPrevious($("term").value, { incremental: true, ...marks });
  $("term").onkeydown = (event) => {
    if (event.key === "Escape") closeSearch();
    if (event.key === "Enter") {
      event.preventDefault();
      if (event.shiftKey) current.search.findPrevious($("term").value, marks);
      else current.search.findNext($("term").value, marks);
    }
  };
  $("search").onsubmit = (event) => event.preventDefault();
  $("previous").onclick = () => current.search.findPrevious($("term").value, marks);
  $("next").onclick = () => current.search.findNext($("term").value, marks);
  $("new").onclick = () => new Tab();

  async function upload(files, directory) {
    for (const file of files) {
      const path = `${directory.replace(/\/+$/, "")}/${file.name}`;
      tell(`putting ${path} …`, 0);
      const answer = await fetch(`file?path=${encodeURIComponent(path)}`, { method: "PUT", headers: bearer, body: file });
      tell(answer.ok ? `${path} is there` : await answer.text());
    }
  }

  async function download(path) {
    const answer = await fetch(`file?path=${encodeURIComponent(path)}`, { headers: bearer });
    if (!answer.ok) return tell(await answer.text());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = path.split("/").pop();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  let directory = "/root";
  function ask(question, before) {
    const answer = prompt(question, before);
    current.terminal.focus();
    return answer;
  }
  $("upload").onclick = () => $("file").click();
  $("file").onchange = async () => {
    const into = ask("Directory in the machine", directory);
    if (into !== null) await upload($("file").files, (directory = into)).catch((error) => tell(String(error)));
    $("file").value = "";
  };
  $("download").onclick = () => {
    const path = ask("File in the machine", `${directory}/`);
    if (path) download(path).catch((error) => tell(String(error)));
  };
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    const into = event.dataTransfer.files.length ? ask("Directory in the machine", directory) : null;
    if (into !== null) upload(event.dataTransfer.files, (directory = into)).catch((error) => tell(String(error)));
  };

  addEventListener("resize", () => current?.fit.fit());

  // Terminals outlive the page: those that are there come back.
  async function start() {
    const answer = await fetch("terminals", { headers: bearer });
    if (!answer.ok) return tell(`${(await answer.text()).trim()}: open the address that tuxlet has printed`, 0);
    const { terminals } = await answer.json();
    for (const id of terminals) new Tab(id);
    if (terminals.length === 0) new Tab();
  }
  // For tests.
  window.tuxlet = { tabs, current: () => current, upload };
  start().catch((error) => tell(String(error), 0));
})();
