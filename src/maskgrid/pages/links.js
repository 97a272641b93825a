"use strict";

// Snakemake's own report puts each page into a folder of its own, or into a data URL: links to others lead nowhere there.
if (/^(data|blob):|\/data\/raw\//.test(location.href)) {
  document.querySelectorAll('nav a:not([href^="#"])').forEach((link) => link.remove());
  document.querySelectorAll('#exports a, main a:not([href^="#"])').forEach((link) => link.replaceWith(...link.childNodes));
}
