// Measures each mail: runs after loading, in the page that contains them all.
const channels = (colour) => {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return { rgb: [red, green, blue], alpha };
};
const luminance = (rgb) => {
  const [red, green, blue] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);
const background = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const { rgb, alpha } = channels(getComputedStyle(at).backgroundColor);
    if (alpha === 1) return rgb;
  }
  return [255, 255, 255];
};

function problems(frame) {
  const page = frame.contentDocument;
  const [body, found] = [page.body, []];
  const width = page.documentElement.clientWidth;
  if (page.documentElement.scrollWidth > width) found.push(`is ${page.documentElement.scrollWidth} wide on ${width}`);
  const wanted = matchMedia("(prefers-color-scheme: dark)").matches;
  if (luminance(background(body)) < 0.5 !== wanted) found.push(`is ${wanted ? "light" : "dark"} where ${wanted ? "dark" : "light"} is wanted`);
  const texts = page.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim()) continue;
    const range = page.createRange();
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0)) found.push(`does not show "${text.data}"`);
    if (box.left < 0 || box.right > width + 0.5) found.push(`cuts off "${text.data}"`);
    const seen = contrast(channels(getComputedStyle(element).color).rgb, background(element));
    if (seen < 4.5) found.push(`has a contrast of ${seen.toFixed(2)} at "${text.data}"`);
  }
  for (const element of body.querySelectorAll("h1, p, strong, span, a, td")) {
    if (!element.textContent.trim() && !element.querySelector("img")) found.push(`has an empty ${element.localName}`);
  }
  const buttons = [...body.querySelectorAll(".button")];
  if (!buttons.length) found.push("has no button");
  for (const button of buttons) {
    const box = button.getBoundingClientRect();
    if (box.height < 40 || box.left < 0 || box.right > width) found.push("has a button that cannot be pressed");
    const style = getComputedStyle(button);
    const edges = [style.backgroundColor, style.borderTopColor].map((colour) => contrast(channels(colour).rgb, background(button.parentElement)));
    if (Math.max(...edges) < 1.5) found.push("has a button that cannot be seen");
  }
  return found;
}

onload = () => {
  const frames = [...document.querySelectorAll("iframe")];
  const said = frames.flatMap((frame) => problems(frame).map((problem) => `${frame.title} ${problem}`));
  document.querySelector("pre").textContent = JSON.stringify({ looked_at: frames.length, problems: said });
};
