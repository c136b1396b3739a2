// The theme opens a page's source in a tab, where a notebook is a wall of JSON: save it instead. From disk, browsers
// save no neighbouring file but do run a neighbouring script, so beside each source lies one that holds its text.
window.scbSave = (name, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

document.addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll("a.btn-download-source-button")) {
    link.download = "";
    link.removeAttribute("target");
    link.addEventListener("click", (event) => {
      if (location.protocol !== "file:") return;
      event.preventDefault();
      const script = document.createElement("script");
      script.src = `${link.href}.js`;
      script.onload = () => script.remove();
      document.head.append(script);
    });
  }
});
