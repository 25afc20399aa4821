// Numbers as sentences write them.
const numbers = (() => {
  const SUPERSCRIPT = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
  const power = (e) => `10${[...String(e)].map((digit) => SUPERSCRIPT[digit]).join("")}`;
  // 2.11 × 10⁻⁴
  function scientific(value) {
    const [mantissa, exponent] = value.toExponential(2).split("e");
    return `${mantissa} × ${power(Number(exponent))}`;
  }
  const short = (step, e) => (e >= -2 && e <= 1 ? String(Number((step * 10 ** e).toPrecision(2))) : step === 1 ? power(e) : `${step} × ${power(e)}`);
  // a slider's stop in two digits, any other value in four
  const signed = (value) => value.toFixed(Number.isInteger(Number((100 * value).toFixed(6))) ? 2 : 4).replace("-", "−");
  // two digits of a percentage: 3.2 %, 14 %
  const percent = (share) => (share < 0.0005 ? "<0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`);
  return {scientific, short, signed, percent};
})();
