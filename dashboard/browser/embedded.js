// Inside JupyterLab keys typed into the page, which hides its inputs in shadow roots, are not the notebook's.
for (let node = el; node; node = node.parentNode ?? node.host)
  if (node.matches?.(".jp-OutputArea-output")) node.setAttribute("data-lm-suppress-shortcuts", "true");
