// A recording may be dropped anywhere on the page.

/** @param {HTMLElement} target shown while a file is dragged over the page */
export function acceptDrops(target, onfile) {
  let dragged = 0; // entered and not left
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!holdsFile(event)) return;
    dragged += 1;
    target.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!holdsFile(event)) return;
    dragged -= 1;
    target.hidden = dragged > 0;
  });
  addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    dragged = 0;
    target.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) onfile(file);
  });
}
