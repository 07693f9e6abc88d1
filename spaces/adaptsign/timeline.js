// A click on a gloss moves the videos to its start; the gloss that is being signed is marked as they play.
const videos = () => document.querySelectorAll("#signing video, #attention video");

element.addEventListener("click", (event) => {
  const gloss = event.target.closest("[data-start]");
  if (!gloss) return;
  // Browsers seek to the frame before a time that is rounded down.
  videos().forEach((video) => { video.currentTime = Number(gloss.dataset.start) + 0.01; });
});

// "timeupdate" does not bubble, hence the capture; the video is another one after each upload, hence the document.
document.addEventListener("timeupdate", (event) => {
  if (!event.target.matches("#signing video, #attention video")) return;
  const time = event.target.currentTime;
  element.querySelectorAll("[data-start]").forEach((gloss) => {
    gloss.classList.toggle("now", time >= Number(gloss.dataset.start) && time < Number(gloss.dataset.end));
  });
  const playhead = element.querySelector(".playhead");
  if (playhead && event.target.duration) playhead.style.left = `${(100 * time) / event.target.duration}%`;
}, true);
