"use strict";

// What pages with data beside them share. Scripts beside the page hand their data to functions of `maskgrid`: from a
// file:// page neither fetch nor modules reach a file, but scripts do.

const data = JSON.parse(document.getElementById("data").textContent);
const maskgrid = {};
const byId = (name) => document.getElementById(name);

function element(tag, attributes, content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (content !== undefined) made.textContent = content;
  return made;
}

function loadScript(path) {
  return new Promise((done, fail) => {
    const tag = element("script", { src: path });
    tag.onload = () => { tag.remove(); done(); };
    tag.onerror = () => { tag.remove(); fail(new Error(`${decodeURI(path)} is not beside this page`)); };
    document.head.append(tag);
  });
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
