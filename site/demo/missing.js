// Says why the demo does not start, where its modules cannot say it themselves: they were not loaded. No module, since
// a browser loads those from a web server only.
(function () {
  var patience = location.protocol === "file:" ? 0 : 10000;

  function look() {
    var demo = document.querySelector("#demo");
    var message = demo.querySelector("[data-part=broken]");
    if (demo.dataset.ready || demo.dataset.broken) return;
    demo.dataset.broken = "true";
    demo.classList.add("is-broken");
    message.hidden = false;
    message.textContent =
      location.protocol === "file:"
        ? "A browser does not run the demo from a file. Serve this folder: “make run”, or any web server."
        : "The demo's scripts, demo/*.js, were not loaded, or this browser is too old for them.";
  }

  addEventListener("load", function () {
    setTimeout(look, patience);
  });
})();
