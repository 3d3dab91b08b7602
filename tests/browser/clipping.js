// What is cut off or broken inside a word in the element `root`: a list of sentences, empty where all can be read.
(root) => {
  const found = [], page = root.getBoundingClientRect();
  const visible = (e) => e.getClientRects().length && getComputedStyle(e).visibility !== "hidden";
  const name = (e) => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")} "${(e.innerText || e.value || "").trim().slice(0, 60)}"`;
  const pen = document.createElement("canvas").getContext("2d");
  const width = (e, text) => { const s = getComputedStyle(e); pen.font = s.font || `${s.fontSize} ${s.fontFamily}`; return pen.measureText(text).width; };
  for (const e of [root, ...root.querySelectorAll("*")]) {
    if (!visible(e) || e.closest("svg, style, option")) continue;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (box.width > 1 && box.right > page.right + 1.5) found.push(`beyond the right edge by ${Math.round(box.right - page.right)}: ${name(e)}`);
    if (e.matches("select")) {
      const text = e.selectedOptions[0] ? e.selectedOptions[0].text : "";
      if (width(e, text) > e.clientWidth - parseFloat(style.paddingLeft) - 20) found.push(`cut off in its box: ${name(e)} "${text}"`);
    } else if (e.matches("input[type=number]")) {
      if (width(e, e.value) > e.clientWidth - 8) found.push(`cut off in its box: ${name(e)}`);
    } else if (!e.matches("input, textarea") && style.display !== "inline" && e.scrollWidth > e.clientWidth + 1 && style.overflowX !== "visible") {
      found.push(`wider than its box, ${e.scrollWidth} > ${e.clientWidth}: ${name(e)}`);
    }
  }
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    if (!visible(node.parentElement) || node.parentElement.closest("style, textarea, option")) continue;
    for (const word of node.data.matchAll(/[^\s\-–\/]+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].filter((r) => r.width > 0.5).map((r) => Math.round(r.top / 4)));
      if (lines.size > 1) found.push(`broken inside a word: "${word[0].slice(0, 60)}" in ${name(node.parentElement)}`);
    }
  }
  return found;
}
