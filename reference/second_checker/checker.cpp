// The second checker of certificate files, version 3, written from cvxrelu/certificates/certificate_format.md alone.
// "Lemma k" and "section k" are those of that page. No dependency but the C++17 standard library.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using i64 = std::int64_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;
using std::size_t;
using std::string;
using std::vector;

struct Rejected : std::runtime_error {  // exit code 1: the file proves nothing
  using std::runtime_error::runtime_error;
};
struct Unusable : std::runtime_error {  // exit code 2: wrong use or invalid data
  using std::runtime_error::runtime_error;
};

void require(bool holds, const char* otherwise) {
  if (!holds) throw Rejected(otherwise);
}

// ---------------------------------------------------------------------------------------------------------------------
// Integers of any length: sign and magnitude, limbs of 64 bits, the first few without allocation.

class Int {
 public:
  Int() = default;
  Int(i64 v) : n_(v != 0), negative_(v < 0) { inline_[0] = v < 0 ? 0 - static_cast<u64>(v) : static_cast<u64>(v); }
  Int(const Int& o) { assign(o); }
  Int(Int&& o) noexcept { steal(o); }
  Int& operator=(const Int& o) {
    if (this != &o) assign(o);
    return *this;
  }
  Int& operator=(Int&& o) noexcept {
    if (this != &o) steal(o);
    return *this;
  }
  static Int of_limbs(const u64* limbs, size_t n, bool negative) {
    Int r;
    r.resize(n);
    std::copy(limbs, limbs + n, r.data());
    r.negative_ = negative;
    r.trim();
    return r;
  }

  int sign() const { return n_ == 0 ? 0 : negative_ ? -1 : 1; }
  size_t bits() const { return n_ == 0 ? 0 : 64 * n_ - static_cast<size_t>(__builtin_clzll(data()[n_ - 1])); }
  size_t trailing_zeros() const {  // of a number that is not 0
    size_t i = 0;
    while (data()[i] == 0) ++i;
    return 64 * i + static_cast<size_t>(__builtin_ctzll(data()[i]));
  }
  u64 low() const { return n_ == 0 ? 0 : data()[0]; }
  Int operator-() const {
    Int r(*this);
    r.negative_ = n_ != 0 && !negative_;
    return r;
  }
  Int abs() const { return negative_ ? -*this : *this; }

  Int& operator+=(const Int& o) { return add(o, o.negative_); }
  Int& operator-=(const Int& o) { return add(o, !o.negative_); }
  friend Int operator+(Int a, const Int& b) { return std::move(a += b); }
  friend Int operator-(Int a, const Int& b) { return std::move(a -= b); }

  friend Int operator*(const Int& a, const Int& b) {
    Int r;
    if (a.n_ == 0 || b.n_ == 0) return r;
    r.resize(a.n_ + b.n_);
    const u64 *x = a.data(), *y = b.data();
    u64* z = r.data();
    for (size_t i = 0; i < a.n_; ++i) {
      u64 carry = 0;
      for (size_t j = 0; j < b.n_; ++j) {
        const u128 s = static_cast<u128>(x[i]) * y[j] + z[i + j] + carry;
        z[i + j] = static_cast<u64>(s);
        carry = static_cast<u64>(s >> 64);
      }
      z[i + b.n_] = carry;
    }
    r.negative_ = a.negative_ != b.negative_;
    r.trim();
    return r;
  }

  friend Int operator<<(const Int& a, size_t k) {
    Int r;
    if (a.n_ == 0) return r;
    const size_t limbs = k / 64, rest = k % 64;
    r.resize(a.n_ + limbs + 1);
    for (size_t i = 0; i < a.n_; ++i) {
      r.data()[i + limbs] |= a.data()[i] << rest;
      if (rest != 0) r.data()[i + limbs + 1] = a.data()[i] >> (64 - rest);
    }
    r.negative_ = a.negative_;
    r.trim();
    return r;
  }
  friend Int operator>>(const Int& a, size_t k) {  // rounds down
    Int r;
    const size_t limbs = k / 64, rest = k % 64;
    bool lost = false;
    for (size_t i = 0; i < std::min(limbs, a.n_); ++i) lost = lost || a.data()[i] != 0;
    if (a.n_ > limbs) {
      r.resize(a.n_ - limbs);
      for (size_t i = limbs; i < a.n_; ++i) {
        r.data()[i - limbs] |= a.data()[i] >> rest;
        if (rest != 0 && i > limbs) r.data()[i - limbs - 1] |= a.data()[i] << (64 - rest);
      }
      lost = lost || (rest != 0 && (a.data()[limbs] << (64 - rest)) != 0);
      r.negative_ = a.negative_;
      r.trim();
    }
    if (a.negative_ && lost) r -= Int(1);
    return r;
  }

  // Quotient rounded towards 0 and its remainder (Knuth, algorithm D).
  static void divide(const Int& a, const Int& b, Int& quotient, Int& remainder) {
    if (b.n_ == 0) throw std::logic_error("division by 0");
    Int q, r;
    if (compare_sizes(a, b) < 0) {
      r = a;
    } else if (b.n_ == 1) {
      q.resize(a.n_);
      u64 rest = 0;
      for (size_t i = a.n_; i-- > 0;) {
        const u128 s = (static_cast<u128>(rest) << 64) | a.data()[i];
        q.data()[i] = static_cast<u64>(s / b.data()[0]);
        rest = static_cast<u64>(s % b.data()[0]);
      }
      r.resize(1);
      r.data()[0] = rest;
    } else {
      const size_t shift = static_cast<size_t>(__builtin_clzll(b.data()[b.n_ - 1])), n = b.n_;
      const Int v = b << shift;
      r = a << shift;
      r.resize(a.n_ + 1);
      q.resize(a.n_ - n + 1);
      const u64* d = v.data();
      u64* u = r.data();
      for (size_t j = a.n_ - n + 1; j-- > 0;) {
        const u128 top = (static_cast<u128>(u[j + n]) << 64) | u[j + n - 1];
        u128 guess, rest;
        if (u[j + n] >= d[n - 1]) {
          guess = ~u64{0};
          rest = top - guess * d[n - 1];
        } else {
          guess = top / d[n - 1];
          rest = top % d[n - 1];
        }
        while ((rest >> 64) == 0 && guess * d[n - 2] > ((rest << 64) | u[j + n - 2])) {
          --guess;
          rest += d[n - 1];
        }
        u64 carry = 0, borrow = 0;
        for (size_t i = 0; i <= n; ++i) {
          const u128 product = (i < n ? guess * d[i] : 0) + carry;
          carry = static_cast<u64>(product >> 64);
          const u128 difference = static_cast<u128>(u[i + j]) - static_cast<u64>(product) - borrow;
          u[i + j] = static_cast<u64>(difference);
          borrow = static_cast<u64>(difference >> 64) & 1;
        }
        if (borrow != 0) {  // the guess was too large by one
          --guess;
          carry = 0;
          for (size_t i = 0; i <= n; ++i) {
            const u128 s = static_cast<u128>(u[i + j]) + (i < n ? d[i] : 0) + carry;
            u[i + j] = static_cast<u64>(s);
            carry = static_cast<u64>(s >> 64);
          }
        }
        q.data()[j] = static_cast<u64>(guess);
      }
      r.negative_ = false;
      r.trim();
      r = r >> shift;
    }
    q.negative_ = a.negative_ != b.negative_;
    q.trim();
    r.negative_ = a.negative_;
    r.trim();
    quotient = std::move(q);
    remainder = std::move(r);
  }

  friend int compare(const Int& a, const Int& b) {
    if (a.sign() != b.sign()) return a.sign() < b.sign() ? -1 : 1;
    return a.negative_ ? -compare_sizes(a, b) : compare_sizes(a, b);
  }

 private:
  static constexpr size_t kInline = 6;
  u64 inline_[kInline] = {};
  std::unique_ptr<u64[]> heap_;
  size_t capacity_ = kInline, n_ = 0;
  bool negative_ = false;

  u64* data() { return heap_ ? heap_.get() : inline_; }
  const u64* data() const { return heap_ ? heap_.get() : inline_; }

  void resize(size_t n) {  // new limbs are 0
    if (n > capacity_) {
      std::unique_ptr<u64[]> larger(new u64[n + 4]);
      std::copy(data(), data() + n_, larger.get());
      heap_ = std::move(larger);
      capacity_ = n + 4;
    }
    if (n > n_) std::fill(data() + n_, data() + n, 0);
    n_ = n;
  }
  void trim() {
    while (n_ != 0 && data()[n_ - 1] == 0) --n_;
    if (n_ == 0) negative_ = false;
  }
  void assign(const Int& o) {
    n_ = 0;
    resize(o.n_);
    std::copy(o.data(), o.data() + o.n_, data());
    negative_ = o.negative_;
  }
  void steal(Int& o) noexcept {
    heap_ = std::move(o.heap_);
    capacity_ = o.capacity_;
    n_ = o.n_;
    negative_ = o.negative_;
    if (!heap_) std::copy(o.inline_, o.inline_ + n_, inline_);
    o.capacity_ = kInline;
    o.n_ = 0;
    o.negative_ = false;
  }
  static int compare_sizes(const Int& a, const Int& b) {
    if (a.n_ != b.n_) return a.n_ < b.n_ ? -1 : 1;
    for (size_t i = a.n_; i-- > 0;)
      if (a.data()[i] != b.data()[i]) return a.data()[i] < b.data()[i] ? -1 : 1;
    return 0;
  }
  Int& add(const Int& o, bool o_negative) {
    if (o.n_ == 0) return *this;
    if (this == &o) return add(Int(o), o_negative);
    if (n_ == 0) negative_ = o_negative;
    if (negative_ == o_negative) {
      resize(std::max(n_, o.n_) + 1);
      u64 carry = 0;
      for (size_t i = 0; i < n_; ++i) {
        if (i >= o.n_ && carry == 0) break;
        const u128 s = static_cast<u128>(data()[i]) + (i < o.n_ ? o.data()[i] : 0) + carry;
        data()[i] = static_cast<u64>(s);
        carry = static_cast<u64>(s >> 64);
      }
    } else {
      const bool larger = compare_sizes(*this, o) >= 0;
      if (!larger) {
        resize(o.n_);
        negative_ = o_negative;
      }
      u64 borrow = 0;
      for (size_t i = 0; i < n_; ++i) {
        if (i >= o.n_ && borrow == 0) break;
        const u64 mine = data()[i], other = i < o.n_ ? o.data()[i] : 0;
        const u128 s = static_cast<u128>(larger ? mine : other) - (larger ? other : mine) - borrow;
        data()[i] = static_cast<u64>(s);
        borrow = static_cast<u64>(s >> 64) & 1;
      }
    }
    trim();
    return *this;
  }
};

bool operator<(const Int& a, const Int& b) { return compare(a, b) < 0; }
bool operator<=(const Int& a, const Int& b) { return compare(a, b) <= 0; }

Int shift_up(const Int& a, size_t k) { return -((-a) >> k); }  // a / 2^k rounded up
Int quotient(const Int& a, const Int& b) {
  Int q, r;
  Int::divide(a, b, q, r);
  return q;
}
Int quotient_up(const Int& a, const Int& b) {  // of positive numbers
  Int q, r;
  Int::divide(a, b, q, r);
  return r.sign() == 0 ? q : q + Int(1);
}
Int gcd(Int a, Int b) {
  while (b.sign() != 0) {
    Int q, r;
    Int::divide(a, b, q, r);
    a = std::move(b);
    b = std::move(r);
  }
  return a.abs();
}
Int power_of_ten(size_t k) {
  Int r(1);
  for (size_t i = 0; i < k; ++i) r = r * Int(10);
  return r;
}
string decimal(Int a) {
  if (a.sign() == 0) return "0";
  const bool negative = a.sign() < 0;
  a = a.abs();
  string digits;
  for (const Int base = power_of_ten(18); a.sign() != 0;) {
    Int q, r;
    Int::divide(a, base, q, r);
    u64 part = r.low();
    for (int i = 0; i < 18 && (q.sign() != 0 || part != 0); ++i, part /= 10)
      digits += static_cast<char>('0' + part % 10);
    a = std::move(q);
  }
  if (negative) digits += '-';
  return string(digits.rbegin(), digits.rend());
}

// floor(sqrt(a)) of a > 0: Newton's iteration from above decreases until it is there.
Int root_down(const Int& a) {
  const size_t shift = a.bits() > 62 ? (a.bits() - 61) / 2 * 2 : 0;
  const u64 top = (a >> shift).low();
  Int x = Int(static_cast<i64>(std::sqrt(static_cast<double>(top))) + 2) << (shift / 2);
  for (;;) {
    Int y = (x + quotient(a, x)) >> 1;
    if (x <= y) return x;
    x = std::move(y);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Numbers m 2^e.

struct Dyadic {
  Int m;
  i64 e = 0;
  Dyadic() = default;
  Dyadic(Int mantissa, i64 exponent) : m(std::move(mantissa)), e(exponent) {}
  Dyadic(i64 v) : m(v) {}
  Dyadic(double v) {
    if (v == 0) return;
    int exponent;
    i64 mantissa = static_cast<i64>(std::ldexp(std::frexp(v, &exponent), 53));
    const int zeros = __builtin_ctzll(static_cast<u64>(mantissa));
    m = Int(mantissa / (i64{1} << zeros));
    e = exponent - 53 + zeros;
  }
  int sign() const { return m.sign(); }
  Dyadic abs() const { return {m.abs(), e}; }
  Dyadic operator-() const { return {-m, e}; }
  Int at(i64 exponent) const { return m.sign() == 0 ? m : m << static_cast<size_t>(e - exponent); }  // exponent <= e
  Int down(i64 exponent) const { return exponent <= e ? at(exponent) : m >> static_cast<size_t>(exponent - e); }
  Int up(i64 exponent) const { return exponent <= e ? at(exponent) : shift_up(m, static_cast<size_t>(exponent - e)); }
  Dyadic& operator+=(const Dyadic& o) {
    if (o.m.sign() == 0) return *this;
    if (m.sign() == 0) return *this = o;
    if (o.e < e) {
      m = at(o.e);
      e = o.e;
    }
    if (o.e == e)
      m += o.m;
    else
      m += o.at(e);
    return *this;
  }
  Dyadic& operator-=(const Dyadic& o) { return *this += -o; }
  friend Dyadic operator+(Dyadic a, const Dyadic& b) { return std::move(a += b); }
  friend Dyadic operator-(Dyadic a, const Dyadic& b) { return std::move(a -= b); }
  friend Dyadic operator*(const Dyadic& a, const Dyadic& b) { return {a.m * b.m, a.e + b.e}; }
  friend bool operator<(const Dyadic& a, const Dyadic& b) { return (a - b).sign() < 0; }
  friend bool operator<=(const Dyadic& a, const Dyadic& b) { return (a - b).sign() <= 0; }
  friend bool operator==(const Dyadic& a, const Dyadic& b) { return (a - b).sign() == 0; }
};

Dyadic square(const Dyadic& a) { return a * a; }
Dyadic half(Dyadic a) {
  --a.e;
  return a;
}

Dyadic root_up(Dyadic a) {  // Lemma 2
  if (a.sign() == 0) return a;
  const size_t zeros = a.m.trailing_zeros();
  a = Dyadic(a.m >> zeros, a.e + static_cast<i64>(zeros));
  const Int pq = a.m << static_cast<size_t>(256 + std::abs(a.e));
  const Int below = pq - Int(1);
  return {root_down(below) + Int(1), std::min<i64>(a.e, 0) - 128};
}

struct Rational {  // p / q, q > 0
  Dyadic p, q{i64{1}};
};
Rational operator+(const Rational& a, const Rational& b) { return {a.p * b.q + b.p * a.q, a.q * b.q}; }

std::pair<Int, Int> lowest_terms(const Rational& a) {
  const i64 e = a.p.e - a.q.e;
  Int p = e > 0 ? a.p.m << static_cast<size_t>(e) : a.p.m, q = e < 0 ? a.q.m << static_cast<size_t>(-e) : a.q.m;
  const Int common = gcd(p, q);
  return {quotient(p, common), quotient(q, common)};
}
string exact_text(const Rational& a) {
  const auto [p, q] = lowest_terms(a);
  return decimal(p) + "/" + decimal(q);
}

string decimal_text(const Rational& a, bool up) {  // 20 digits, rounded down or up
  const auto [p, q] = lowest_terms(a);
  if (p.sign() == 0) return "0.0";
  const bool away = up == (p.sign() > 0);
  // 10^k <= |p / q| 10^shift < 10^(k + 1) for k = 19, after the guess from the bit lengths is corrected.
  i64 shift =
      19 - static_cast<i64>(std::floor((static_cast<double>(p.bits()) - static_cast<double>(q.bits())) * 0.30103));
  for (;; ++shift) {
    const Int n = p.abs() * power_of_ten(shift > 0 ? static_cast<size_t>(shift) : 0);
    const Int d = q * power_of_ten(shift < 0 ? static_cast<size_t>(-shift) : 0);
    const string digits = decimal(away ? quotient_up(n, d) : quotient(n, d));
    if (digits.size() < 20) continue;
    const i64 exponent = static_cast<i64>(digits.size()) - 1 - shift;
    return (p.sign() < 0 ? "-" : "") + digits.substr(0, 1) + "." + digits.substr(1) + "e" + std::to_string(exponent);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Upper bounds of exp and ln: integers over 2^kBits.
//
// Lemma A. For x >= 0, the terms of sum x^j / j!, each rounded down, sum to a lower bound of exp(x), and squaring a
// lower bound of exp(x / 2), rounded down, gives one of exp(x). 1 / (this), rounded up, is an upper bound of exp(-x).
// For x >= 300, exp(-x) < 2^-432 is below one unit 2^-192.
//
// Lemma B. ln m = 2 artanh z with z = (m - 1) / (m + 1); for 1 <= m <= 2, 0 <= z <= 1/3. With z, the powers and the
// quotients rounded up, the terms z^(2j + 1) / (2j + 1), j < J, are upper bounds, and what follows them is at most
// z^(2J + 1) (1 + z^2 + z^4 + ..) <= 2 z^(2J + 1). Rounded down and without the rest they give a lower bound.
// For y = m 2^k, ln y = ln m + k ln 2.

constexpr i64 kBits = 192;
const Int kOne = Int(1) << kBits;

Int exp_of_minus_up(const Int& x) {
  constexpr size_t halvings = 16;
  if (Int(300) * kOne <= x) return Int(1);
  const Int y = x >> halvings;
  Int term = kOne, sum = kOne;
  for (i64 j = 1; term.sign() != 0; ++j) {
    term = quotient((term * y) >> kBits, Int(j));
    sum += term;
  }
  for (size_t i = 0; i < halvings; ++i) sum = (sum * sum) >> kBits;
  return quotient_up(kOne << kBits, sum);
}

Int twice_artanh(Int z, bool up) {
  const auto rounded = [up](const Int& a) { return up ? shift_up(a, kBits) : a >> kBits; };
  const Int z2 = rounded(z * z);
  Int sum;
  i64 j = 1;
  for (; Int(1) < z; j += 2) {
    sum += up ? quotient_up(z, Int(j)) : quotient(z, Int(j));
    z = rounded(z * z2);
  }
  if (up) sum += z << 1;
  return sum << 1;
}

Int ln_up(const Dyadic& y) {  // y > 0
  static const Int ln2_down = twice_artanh(quotient(kOne, Int(3)), false);
  static const Int ln2_up = twice_artanh(quotient_up(kOne, Int(3)), true);
  const i64 k = static_cast<i64>(y.m.bits()) - 1 + y.e;
  const Int m = Dyadic(y.m, y.e - k).up(-kBits);
  const Int z = m <= kOne ? Int() : quotient_up((m - kOne) << kBits, m + kOne);
  return twice_artanh(z, true) + Int(k) * (k < 0 ? ln2_down : ln2_up);
}

// ln(sum exp d_k), rounded up, with the largest d taken out (Lemma 3).
Dyadic log_sum_exp_up(const vector<Dyadic>& d) {
  Dyadic top = d[0];
  for (const Dyadic& v : d)
    if (top < v) top = v;
  Int sum;
  for (const Dyadic& v : d) sum += v == top ? kOne : exp_of_minus_up((top - v).down(-kBits));
  return Dyadic(top.up(-kBits) + ln_up(Dyadic(sum, -kBits)), -kBits);
}

// A lower bound of -p ln p for 0 <= p <= 1.
Dyadic entropy_down(const Dyadic& p) {
  if (p.sign() == 0) return {};
  const Int minus_ln = -ln_up(p);
  if (minus_ln.sign() <= 0) return {};
  constexpr i64 last_bit = -2 * kBits;
  return {(p * Dyadic(minus_ln, -kBits)).down(last_bit), last_bit};
}

// ---------------------------------------------------------------------------------------------------------------------
// Sums of products of float64, exactly: accumulators of fixed point, wide enough for every product and 2^63 of them.

struct Scalar {  // m 2^e, m odd or 0
  i64 m = 0;
  int e = 0;
  Scalar() = default;
  explicit Scalar(double v) {
    if (v == 0) return;
    m = static_cast<i64>(std::ldexp(std::frexp(v, &e), 53));
    const int zeros = __builtin_ctzll(static_cast<u64>(m));
    m /= i64{1} << zeros;
    e += zeros - 53;
  }
};

struct Array {
  vector<Scalar> v;
  int lo = 0, hi = 1;  // every entry is a multiple of 2^lo and smaller than 2^hi
  void add(double x) {
    const Scalar s(x);
    v.push_back(s);
    if (s.m == 0) return;
    int top;
    std::frexp(x, &top);
    lo = std::min(lo, s.e);
    hi = std::max(hi, top);
  }
  const Scalar& operator[](size_t i) const { return v[i]; }
};

Array array_of(const vector<double>& values) {
  Array a;
  a.v.reserve(values.size());
  for (double x : values) a.add(x);
  return a;
}

class Sums {
 public:
  Sums(size_t count, const Array& a, const Array& b)
      : lo_(a.lo + b.lo), width_(static_cast<size_t>(a.hi + b.hi - lo_ + 64) / 64 + 4), limbs_(count * width_) {}
  void clear() { std::fill(limbs_.begin(), limbs_.end(), 0); }
  void add(size_t i, const Scalar& a, const Scalar& b, bool negate = false) {
    if (a.m == 0 || b.m == 0) return;
    const u64 x = a.m < 0 ? 0 - static_cast<u64>(a.m) : static_cast<u64>(a.m);
    const u64 y = b.m < 0 ? 0 - static_cast<u64>(b.m) : static_cast<u64>(b.m);
    const u128 product = static_cast<u128>(x) * y;
    const size_t shift = static_cast<size_t>(a.e + b.e - lo_), rest = shift % 64;
    const u128 high = rest == 0 ? product >> 64 : product >> (64 - rest);
    const u64 parts[3] = {static_cast<u64>(product << rest), static_cast<u64>(high), static_cast<u64>(high >> 64)};
    add_limbs(i, shift / 64, parts, 3, negate != ((a.m < 0) != (b.m < 0)));
  }
  void add(size_t i, const Sums& other, size_t j, bool negate) {  // sums of the same arrays
    add_limbs(i, 0, &other.limbs_[j * width_], width_, negate);
  }
  int sign(size_t i) const {
    const u64* s = &limbs_[i * width_];
    if (s[width_ - 1] >> 63) return -1;
    for (size_t k = 0; k < width_; ++k)
      if (s[k] != 0) return 1;
    return 0;
  }
  i64 exponent() const { return lo_; }
  Int integer(size_t i) const {  // in units of 2^exponent
    vector<u64> s(limbs_.begin() + static_cast<std::ptrdiff_t>(i * width_),
                  limbs_.begin() + static_cast<std::ptrdiff_t>((i + 1) * width_));
    const bool negative = s.back() >> 63;
    if (negative) {
      bool carry = true;
      for (u64& limb : s) {
        limb = ~limb + carry;
        carry = carry && limb == 0;
      }
    }
    return Int::of_limbs(s.data(), s.size(), negative);
  }
  Dyadic operator[](size_t i) const { return {integer(i), lo_}; }

 private:
  i64 lo_;
  size_t width_;
  vector<u64> limbs_;

  void add_limbs(size_t i, size_t from, const u64* parts, size_t count, bool negate) {
    u64* s = &limbs_[i * width_];
    u64 carry = 0;
    for (size_t k = from; k < width_; ++k) {
      const bool inside = k - from < count;
      if (!inside && carry == 0) break;
      const u64 part = inside ? parts[k - from] : 0;
      const u128 sum = negate ? static_cast<u128>(s[k]) - part - carry : static_cast<u128>(s[k]) + part + carry;
      s[k] = static_cast<u64>(sum);
      carry = static_cast<u64>(sum >> 64) & 1;
    }
  }
};

// A symmetric matrix of order k, rows one after the other, is positive semidefinite (Lemma 6).
bool positive_semidefinite(const vector<Dyadic>& matrix, size_t k) {
  i64 exponent = 0;
  for (const Dyadic& v : matrix)
    if (v.sign() != 0) exponent = std::min(exponent, v.e);
  vector<Int> a;
  for (const Dyadic& v : matrix) a.push_back(v.at(exponent));
  Int last(1);
  for (size_t s = 0; s < k; ++s) {
    const Int pivot = a[s * k + s];
    if (pivot.sign() < 0) return false;
    if (pivot.sign() == 0) {
      for (size_t j = s + 1; j < k; ++j)
        if (a[s * k + j].sign() != 0) return false;
      continue;
    }
    for (size_t i = s + 1; i < k; ++i)
      for (size_t j = i; j < k; ++j) a[i * k + j] = quotient(pivot * a[i * k + j] - a[s * k + i] * a[s * k + j], last);
    last = pivot;
  }
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// SHA-256 (FIPS 180-4). The constants are the first 32 bits of the fractions of roots of the first primes.

class Sha256 {
 public:
  Sha256() {
    for (u64 p = 2, i = 0; i < 64; ++p) {
      bool prime = true;
      for (u64 q = 2; q * q <= p; ++q) prime = prime && p % q != 0;
      if (!prime) continue;
      if (i < 8) state_[i] = static_cast<std::uint32_t>(root_down(Int(static_cast<i64>(p)) << 64).low());
      key_[i++] = cube_root_fraction(p);
    }
  }
  void add(const void* bytes, size_t n) {
    const auto* p = static_cast<const unsigned char*>(bytes);
    length_ += n;
    for (size_t i = 0; i < n; ++i) {
      block_[filled_++] = p[i];
      if (filled_ == 64) compress();
    }
  }
  string hex() {
    const u64 bits = length_ * 8;
    const unsigned char one = 0x80, zero = 0;
    add(&one, 1);
    while (filled_ != 56) add(&zero, 1);
    for (int i = 7; i >= 0; --i) {
      const auto byte = static_cast<unsigned char>(bits >> (8 * i));
      add(&byte, 1);
    }
    string text;
    for (std::uint32_t word : state_)
      for (int i = 28; i >= 0; i -= 4) text += "0123456789abcdef"[(word >> i) & 15];
    return text;
  }

 private:
  std::array<std::uint32_t, 8> state_{};
  std::array<std::uint32_t, 64> key_{};
  std::array<unsigned char, 64> block_{};
  size_t filled_ = 0;
  u64 length_ = 0;

  static std::uint32_t cube_root_fraction(u64 p) {  // floor(cbrt(p) 2^32) mod 2^32, by bisection
    const Int target = Int(static_cast<i64>(p)) << 96;
    u64 low = 0, high = u64{1} << 36;
    while (high - low > 1) {
      const u64 middle = (low + high) / 2;
      const Int m(static_cast<i64>(middle));
      (m * m * m <= target ? low : high) = middle;
    }
    return static_cast<std::uint32_t>(low);
  }
  static std::uint32_t turn(std::uint32_t x, int k) { return (x >> k) | (x << (32 - k)); }
  void compress() {
    std::uint32_t w[64];
    for (size_t i = 0; i < 16; ++i)
      w[i] = static_cast<std::uint32_t>(block_[4 * i]) << 24 | static_cast<std::uint32_t>(block_[4 * i + 1]) << 16 |
             static_cast<std::uint32_t>(block_[4 * i + 2]) << 8 | block_[4 * i + 3];
    for (size_t i = 16; i < 64; ++i)
      w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >> 3)) + w[i - 7] +
             (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >> 10));
    auto s = state_;
    for (size_t i = 0; i < 64; ++i) {
      const std::uint32_t first =
          s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + key_[i] + w[i];
      const std::uint32_t second =
          (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {first + second, s[0], s[1], s[2], s[3] + first, s[4], s[5], s[6]};
    }
    for (size_t i = 0; i < 8; ++i) state_[i] += s[i];
    filled_ = 0;
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Files.

string read_file(const string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Unusable("cannot read " + path);
  string bytes;
  char part[1 << 16];
  while (in.read(part, sizeof part) || in.gcount() > 0) bytes.append(part, static_cast<size_t>(in.gcount()));
  return bytes;
}

u64 little_endian(const char* bytes, size_t n) {
  u64 v = 0;
  for (size_t i = n; i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[i]);
  return v;
}
double double_of(u64 bits) {
  double v;
  std::memcpy(&v, &bits, 8);
  return v;
}

struct Table {  // C order
  vector<size_t> shape;
  vector<double> v;
};

Table read_npy(const string& b, const string& name) {
  const auto check = [&name](bool holds) {
    if (!holds) throw Unusable("cannot read the array " + name + " of the data");
  };
  check(b.size() >= 12 && b.compare(0, 6, "\x93NUMPY") == 0);
  const size_t field = b[6] == 1 ? 2 : 4, start = 8 + field;
  check(b[6] >= 1 && b[6] <= 3);
  const size_t length = little_endian(&b[8], field);
  check(length <= b.size() - start);
  const string header = b.substr(start, length);
  const auto after = [&](const char* key) {
    const size_t at = header.find(key);
    check(at != string::npos);
    return header.substr(at + std::strlen(key));
  };
  const string type = after("'descr': '").substr(0, 3), shape = after("'shape': (");
  const bool fortran = after("'fortran_order': ").compare(0, 4, "True") == 0;
  const std::set<string> types = {"<f8", "<f4", "<i8", "<i4", "|u1", "|i1", "|b1"};
  if (types.count(type) == 0) throw Unusable("array " + name + " of the data is of type " + type);
  Table t;
  u64 size = 0;
  bool digits = false;
  u128 count = 1;
  for (const char c : shape) {
    if (c >= '0' && c <= '9') {
      size = size * 10 + static_cast<u64>(c - '0');
      digits = true;
      check(size <= b.size());
    } else if (digits) {
      t.shape.push_back(size);
      count *= size;
      check(count <= b.size());
      size = 0;
      digits = false;
    }
    if (c == ')') break;
  }
  const size_t bytes = static_cast<size_t>(type[2] - '0'), begin = start + length;
  check(count * bytes == b.size() - begin && t.shape.size() <= 2);
  const size_t rows = t.shape.size() == 2 ? t.shape[0] : 1, columns = rows == 0 ? 0 : static_cast<size_t>(count) / rows;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const size_t place = fortran ? i % columns * rows + i / columns : i;
    const u64 raw = little_endian(&b[begin + bytes * place], bytes);
    if (type == "<f8") {
      t.v.push_back(double_of(raw));
    } else if (type == "<f4") {
      const auto word = static_cast<std::uint32_t>(raw);
      float v;
      std::memcpy(&v, &word, 4);
      t.v.push_back(static_cast<double>(v));
    } else if (type == "<i8") {
      t.v.push_back(static_cast<double>(static_cast<i64>(raw)));
      if (std::fabs(t.v.back()) >= 0x1p53)
        throw Unusable("array " + name + " of the data holds an integer of 2^53 or more");
    } else if (type == "<i4") {
      t.v.push_back(static_cast<std::int32_t>(raw));
    } else {
      t.v.push_back(type == "|i1" ? static_cast<double>(static_cast<std::int8_t>(raw)) : static_cast<double>(raw));
    }
  }
  return t;
}

std::map<string, Table> read_npz(const string& path) {
  const string b = read_file(path);
  const auto check = [](bool holds) {
    if (!holds) throw Unusable("the data are not a zip file stored without compression, as numpy.savez writes it");
  };
  const size_t end = b.rfind("PK\x05\x06");
  check(end != string::npos && b.size() - end >= 22);
  const u64 entries = little_endian(&b[end + 10], 2);
  u64 at = little_endian(&b[end + 16], 4);
  std::map<string, Table> tables;
  for (u64 i = 0; i < entries; ++i) {
    check(at <= b.size() && b.size() - at >= 46 && b.compare(at, 4, "PK\x01\x02") == 0);
    const u64 method = little_endian(&b[at + 10], 2), size = little_endian(&b[at + 24], 4);
    const u64 name_length = little_endian(&b[at + 28], 2), local = little_endian(&b[at + 42], 4);
    const u64 skip = 46 + name_length + little_endian(&b[at + 30], 2) + little_endian(&b[at + 32], 2);
    check(method == 0 && skip <= b.size() - at);
    const string name = b.substr(at + 46, name_length);
    check(local <= b.size() && b.size() - local >= 30 && b.compare(local, 4, "PK\x03\x04") == 0);
    const u64 begin = local + 30 + little_endian(&b[local + 26], 2) + little_endian(&b[local + 28], 2);
    check(begin <= b.size() && size <= b.size() - begin);
    if (name == "X.npy" || name == "y.npy") tables[name.substr(0, 1)] = read_npy(b.substr(begin, size), name);
    at += skip;
  }
  return tables;
}

struct Data {
  size_t n = 0, d = 0, c = 0;
  vector<double> x, y;
  string sha256;
};

Data read_data(const string& path) {
  auto tables = read_npz(path);
  if (tables.count("X") == 0 || tables.count("y") == 0) throw Unusable("the data need the arrays X and y");
  Data data;
  const auto &sx = tables["X"].shape, &sy = tables["y"].shape;
  if (sx.size() != 2 || sy.empty() || sx[0] != sy[0] || sx[0] == 0 || sx[1] == 0 || (sy.size() == 2 && sy[1] == 0))
    throw Unusable("X must be of shape (n, d) and y of shape (n,) or (n, c), none of them 0");
  data.n = sx[0];
  data.d = sx[1];
  data.c = sy.size() == 2 ? sy[1] : 1;
  data.x = std::move(tables["X"].v);
  data.y = std::move(tables["y"].v);
  Sha256 hash;
  const string n = std::to_string(data.n);
  const string shapes = "[[" + n + ", " + std::to_string(data.d) + "], [" + n + ", " + std::to_string(data.c) + "]]";
  hash.add(shapes.data(), shapes.size());
  for (vector<double>* values : {&data.x, &data.y})
    for (double& v : *values) {
      if (!std::isfinite(v)) throw Unusable("the data hold values that are not finite");
      if (v == 0) v = 0;
      u64 bits;
      std::memcpy(&bits, &v, 8);
      unsigned char bytes[8];
      for (int i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(bits >> (8 * i));
      hash.add(bytes, 8);
    }
  data.sha256 = hash.hex();
  return data;
}

// The file (section 2). Every size is compared with the length of the file before memory is taken for it.

const std::set<string> kKinds = {"gated", "relu"}, kScopes = {"patterns", "global"};
const std::set<string> kLosses = {"squared", "huber", "logistic", "softmax"};
const std::set<string> kPenalties = {"group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2", "none"};
const std::set<string> kProofs = {"cones", "maximum", "relaxation"};

string repr(double v) {  // as Python writes a finite float
  char text[64];
  const double size = std::fabs(v);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end =
      std::to_chars(text, text + sizeof text, v, plain ? std::chars_format::fixed : std::chars_format::scientific);
  string r(text, end.ptr);
  return plain && r.find('.') == string::npos ? r + ".0" : r;
}

double parse_double(const string& text) {  // NaN if the text is no number
  double v;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), v);
  return end.ec == std::errc() && end.ptr == text.data() + text.size() ? v : std::nan("");
}

class HeaderReader {
 public:
  explicit HeaderReader(string text) : text_(std::move(text)) {}
  bool starts(const string& s) const { return text_.compare(at_, s.size(), s) == 0; }
  void expect(const string& s) {
    require(starts(s), "the header is not the JSON of section 2");
    at_ += s.size();
  }
  string name() {
    expect("\"");
    const size_t end = text_.find('"', at_);
    require(end != string::npos, "the header is not the JSON of section 2");
    const string s = text_.substr(at_, end - at_);
    at_ = end + 1;
    return s;
  }
  string name_or_null() {
    if (starts("null")) {
      at_ += 4;
      return "";
    }
    const string s = name();
    require(!s.empty(), "the header holds an empty name");
    return s;
  }
  string token() {
    const size_t end = std::min(text_.find_first_of(",}", at_), text_.size());
    const string s = text_.substr(at_, end - at_);
    at_ = end;
    return s;
  }
  double number() {
    const string s = token();
    const double v = parse_double(s);
    require(std::isfinite(v) && repr(v) == s, "the header holds a number that is no finite float as Python writes it");
    return v;
  }
  bool ended() const { return at_ == text_.size(); }

 private:
  string text_;
  size_t at_ = 0;
};

struct File {
  string data_sha256, kind, loss, penalty, proof, scope;
  double delta = 0, lam = 0;
  bool has_delta = false;
  std::map<string, u64> sizes;
  vector<double> weights, t, outputs, multipliers, basis, lines, row_sizes, corners, points;
  vector<i64> blocks, places, row_lines;
  vector<std::uint16_t> cuts;
  string patterns;

  size_t size(const string& name) const { return static_cast<size_t>(sizes.at(name)); }
  bool active(size_t pattern, size_t row) const {
    return static_cast<unsigned char>(patterns[pattern * size("bytes") + row / 8]) >> (7 - row % 8) & 1;
  }
};

void read_header(const string& text, File& f) {
  HeaderReader h(text);
  h.expect("{\"data_sha256\": ");
  f.data_sha256 = h.name();
  h.expect(", \"delta\": ");
  f.has_delta = !h.starts("null");
  if (f.has_delta)
    f.delta = h.number();
  else
    h.expect("null");
  h.expect(", \"kind\": ");
  f.kind = h.name();
  h.expect(", \"lam\": ");
  f.lam = h.number();
  h.expect(", \"loss\": ");
  f.loss = h.name();
  h.expect(", \"penalty\": ");
  f.penalty = h.name();
  h.expect(", \"proof\": ");
  f.proof = h.name_or_null();
  h.expect(", \"rows\": ");
  if (h.starts("{")) throw Unusable("a map `rows` of the data is not covered by the second checker");
  h.expect("null, \"scope\": ");
  f.scope = h.name();
  h.expect(", \"sizes\": {");
  for (string last; !h.starts("}");) {
    if (!f.sizes.empty()) h.expect(", ");
    const string name = h.name();
    require(last < name, "the sizes of the header are not sorted");
    h.expect(": ");
    const string digits = h.token();
    require(!digits.empty() && digits.size() <= 13 && digits.find_first_not_of("0123456789") == string::npos &&
                (digits == "0" || digits[0] != '0'),
            "a size is no integer in range");
    f.sizes[name] = std::stoull(digits);
    require(f.sizes[name] < (u64{1} << 40), "a size is too large");
    last = name;
  }
  h.expect("}}");
  require(h.ended(), "there is more after the header");
}

void check_header(const File& f) {
  require(kKinds.count(f.kind) != 0, "unknown kind");
  require(kLosses.count(f.loss) != 0, "unknown loss");
  require(f.has_delta == (f.loss == "huber") && (!f.has_delta || f.delta > 0), "delta does not fit the loss");
  require(kPenalties.count(f.penalty) != 0, "unknown penalty");
  require(f.penalty != "nuclear" || f.kind == "gated", "the nuclear penalty is only for gated networks");
  require(f.lam >= 0, "lam is negative");
  std::set<string> names = {"n", "c", "d", "blocks"};
  if (f.scope == "patterns") {
    require(f.proof.empty(), "scope patterns has no proof to name");
    names.insert({"patterns", "bytes", "entries"});
  } else {
    require(f.scope == "global" && kProofs.count(f.proof) != 0, "unknown scope or proof");
    names.insert({"rank", "lines"});
    if (f.proof == "cones") names.insert({"cones", "leaves", "entries"});
  }
  std::set<string> given;
  for (const auto& item : f.sizes) given.insert(item.first);
  require(given == names, "the sizes are not those of the arrays");
  if (f.scope == "global")
    require(f.kind == "relu" && f.penalty == "group_l1" && f.lam > 0 && f.size("c") == 1,
            "scope global is for kind relu, penalty group_l1, lam > 0 and one output");
  if (f.scope == "global") {
    require(f.size("rank") >= 1 && f.size("rank") <= 64 && f.size("rank") <= f.size("d"),
            "the rank must be from 1 to 64 and d");
    require(f.size("lines") >= 1 && f.size("lines") <= f.size("n"), "the number of lines must be from 1 to n");
  } else {
    require(f.size("bytes") == (f.size("n") + 7) / 8, "bytes is not ceil(n / 8)");
  }
}

File read_certificate(const string& path) {
  const string b = read_file(path), first = "cvxrelu certificate 3\n";
  require(b.compare(0, 2, "PK") != 0, "a certificate of version 1 or 2, whose proofs could be forged: save it again");
  require(b.compare(0, first.size(), first) == 0, "no certificate of version 3");
  const size_t end = b.find('\n', first.size());
  require(end != string::npos, "the header does not end");
  require(end - first.size() <= (size_t{1} << 20), "the header is too long");
  File f;
  read_header(b.substr(first.size(), end - first.size()), f);
  check_header(f);

  struct Part {
    std::array<u64, 3> shape;
    size_t width;
    vector<double>* doubles;
    vector<i64>* integers;
  };
  vector<Part> parts;
  const auto of = [&f](const char* name) { return f.sizes.at(name); };
  const auto doubles = [&parts](vector<double>& v, u64 i, u64 j, u64 k) {
    parts.push_back({{i, j, k}, 8, &v, nullptr});
  };
  const auto integers = [&parts](vector<i64>& v, u64 i, u64 j) { parts.push_back({{i, j, 1}, 8, nullptr, &v}); };
  doubles(f.weights, 2, of("blocks"), of("d"));
  integers(f.blocks, of("blocks"), 1);
  doubles(f.t, of("n"), of("c"), 1);
  if (f.penalty == "nuclear") doubles(f.outputs, of("blocks"), of("c"), 1);
  if (f.scope == "patterns") {
    parts.push_back({{of("patterns"), of("bytes"), 1}, 1, nullptr, nullptr});
  } else {
    doubles(f.basis, of("rank"), of("d"), 1);
    doubles(f.lines, of("lines"), of("rank"), 1);
    integers(f.row_lines, of("n"), 1);
    doubles(f.row_sizes, of("n"), 1, 1);
  }
  if (f.proof == "relaxation") {
    doubles(f.multipliers, 2, 4, of("lines"));
    doubles(f.corners, 2, 2, 1);
  }
  if (f.proof == "cones") {
    parts.push_back({{of("cones"), 4, 1}, 2, nullptr, nullptr});
    doubles(f.points, of("leaves"), of("rank"), 1);
  }
  if (f.proof == "cones" || f.scope == "patterns") {
    doubles(f.multipliers, of("entries"), 1, 1);
    integers(f.places, of("entries"), 2);
  }
  u128 total = end + 1;  // each of a few parts is below 2^84 bytes
  for (const Part& p : parts) total += static_cast<u128>(p.shape[0]) * p.shape[1] * p.shape[2] * p.width;
  require(total == b.size(), "the length of the file is not that of its arrays");

  size_t at = end + 1;
  for (const Part& p : parts) {
    const size_t count = static_cast<size_t>(p.shape[0] * p.shape[1] * p.shape[2]);
    if (p.width == 1) f.patterns = b.substr(at, count);
    for (size_t i = 0; i < count && p.width > 1; ++i) {
      const u64 raw = little_endian(&b[at + i * p.width], p.width);
      if (p.doubles != nullptr) {
        p.doubles->push_back(double_of(raw));
        require(std::isfinite(p.doubles->back()), "an array holds a value that is not finite");
      } else if (p.integers != nullptr) {
        p.integers->push_back(static_cast<i64>(raw));
      } else {
        f.cuts.push_back(static_cast<std::uint16_t>(raw));
      }
    }
    at += count * p.width;
  }
  return f;
}

// Places ascend strictly and are in range; their multipliers are at least 0.
void check_places(const File& f, u64 first_end, u64 second_end) {
  for (size_t i = 0; i < f.multipliers.size(); ++i) {
    const i64 a = f.places[2 * i], b = f.places[2 * i + 1];
    require(a >= 0 && static_cast<u64>(a) < first_end && b >= 0 && static_cast<u64>(b) < second_end,
            "a multiplier is at a place that does not exist");
    require(i == 0 || f.places[2 * i - 2] < a || (f.places[2 * i - 2] == a && f.places[2 * i - 1] < b),
            "the places of the multipliers do not ascend");
    require(f.multipliers[i] >= 0, "a multiplier is negative");
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Losses (section 1) and their duals.

struct Problem {
  File f;
  Data data;
  Array x;
  size_t n, d, c;
  Dyadic lam, rows;  // rows = n as a number
};

void check_targets(const Problem& p) {
  const vector<double>& y = p.data.y;
  if (p.f.loss == "logistic")
    for (double v : y) require(v == 1 || v == -1, "targets of the logistic loss are -1 or 1");
  if (p.f.loss != "softmax") return;
  require(p.c >= 2, "softmax needs two outputs or more");
  for (size_t i = 0; i < p.n; ++i) {
    size_t ones = 0;
    for (size_t k = 0; k < p.c; ++k) {
      const double v = y[i * p.c + k];
      require(v == 0 || v == 1, "targets of the softmax loss are 0 or 1");
      ones += v == 1;
    }
    require(ones == 1, "a row of targets of the softmax loss has not one 1");
  }
}

Dyadic n_times_loss_up(const Problem& p, const vector<Dyadic>& f) {
  Dyadic total;
  const Dyadic delta(p.f.delta);
  for (size_t i = 0; i < p.n; ++i) {
    const size_t first = i * p.c;
    if (p.f.loss == "softmax") {
      size_t label = 0;
      while (p.data.y[first + label] != 1) ++label;
      vector<Dyadic> differences;
      for (size_t k = 0; k < p.c; ++k) differences.push_back(f[first + k] - f[first + label]);
      total += log_sum_exp_up(differences);
      continue;
    }
    for (size_t k = first; k < first + p.c; ++k) {
      const Dyadic y(p.data.y[k]);
      if (p.f.loss == "logistic") {
        total += log_sum_exp_up({Dyadic(), -(y * f[k])});
        continue;
      }
      const Dyadic r = (f[k] - y).abs();
      total += p.f.loss == "squared" || r <= delta ? half(square(r)) : delta * (r - half(delta));
    }
  }
  return total;
}

Rational dual_value_down(const Problem& p) {
  Dyadic total;
  const Dyadic one(i64{1}), delta(p.f.delta);
  for (size_t i = 0; i < p.n; ++i) {
    Dyadic sum;
    for (size_t k = i * p.c; k < (i + 1) * p.c; ++k) {
      const Dyadic y(p.data.y[k]), u = p.rows * Dyadic(p.f.t[k]);
      if (p.f.loss == "softmax") {
        const Dyadic q = u + y;
        require(q.sign() >= 0, "t is outside of the domain of the dual");
        sum += q;
        total += entropy_down(q);
      } else if (p.f.loss == "logistic") {
        const Dyadic a = -(y * u);
        require(a.sign() >= 0 && a <= one, "t is outside of the domain of the dual");
        total += entropy_down(a) + entropy_down(one - a);
      } else {
        require(p.f.loss == "squared" || u.abs() <= delta, "t is outside of the domain of the dual");
        total -= half(square(u)) + u * y;
      }
    }
    if (p.f.loss == "softmax") require(sum == one, "t is outside of the domain of the dual");
  }
  return {total, p.rows};
}

Dyadic square_norm(const vector<Dyadic>& v) {
  Dyadic s;
  for (const Dyadic& x : v) s += square(x);
  return s;
}

// ---------------------------------------------------------------------------------------------------------------------
// The upper bound (Lemma 4).

Rational upper_bound(const Problem& p) {
  const File& f = p.f;
  const size_t blocks = f.size("blocks"), n = p.n, d = p.d, c = p.c;
  const bool global = f.scope == "global", nuclear = f.penalty == "nuclear";
  const u64 patterns = global ? 0 : f.sizes.at("patterns");
  const u128 last = global ? 2 : nuclear ? patterns : static_cast<u128>(f.kind == "relu" ? 2 : 1) * c * patterns;
  const Array w = array_of(f.weights);
  Sums product(1, p.x, w), sums(nuclear ? 0 : n * c, p.x, w);
  vector<Dyadic> predictions(n * c), features(f.penalty == "feature_group_l1" ? d : 0);
  Dyadic omega;
  for (size_t b = 0; b < blocks; ++b) {
    require(f.blocks[b] >= 0 && static_cast<u64>(f.blocks[b]) < last, "weights are of a block that does not exist");
    require(global || nuclear || b == 0 || f.blocks[b - 1] < f.blocks[b], "the blocks of the weights do not ascend");
    const u64 number = static_cast<u64>(f.blocks[b]);
    const size_t pattern = global ? 0 : static_cast<size_t>(number % patterns);
    const size_t output = global || nuclear ? 0 : static_cast<size_t>(number / patterns % c);
    const bool negative = global ? number == 1 : !nuclear && number / patterns / c == 1;
    for (size_t i = 0; i < n; ++i) {
      product.clear();
      for (size_t j = 0; j < d; ++j) {
        product.add(0, p.x[i * d + j], w[b * d + j]);
        product.add(0, p.x[i * d + j], w[(blocks + b) * d + j]);
      }
      const int sign = product.sign(0);
      const bool active = global ? sign > 0 : f.active(pattern, i);
      if (!global && f.kind == "relu")
        require(active ? sign >= 0 : sign <= 0, "weights leave the cone of their pattern");
      if (!active || sign == 0) continue;
      if (!nuclear) {
        sums.add(i * c + output, product, 0, negative);
        continue;
      }
      const Dyadic v = product[0];
      for (size_t k = 0; k < c; ++k) predictions[i * c + k] += Dyadic(f.outputs[b * c + k]) * v;
    }
    vector<Dyadic> u;
    for (size_t j = 0; j < d; ++j) u.push_back(Dyadic(f.weights[b * d + j]) + Dyadic(f.weights[(blocks + b) * d + j]));
    if (f.penalty == "group_l1") {
      omega += root_up(square_norm(u));
    } else if (nuclear) {
      Dyadic outer;
      for (size_t k = 0; k < c; ++k) outer += square(Dyadic(f.outputs[b * c + k]));
      omega += root_up(square_norm(u)) * root_up(outer);
    } else if (f.penalty == "squared_l2") {
      omega += half(square_norm(u));
    } else {
      for (size_t j = 0; j < d && f.penalty != "none"; ++j) {
        if (f.penalty == "l1")
          omega += u[j].abs();
        else
          features[j] += square(u[j]);
      }
    }
  }
  for (const Dyadic& v : features) omega += root_up(v);
  for (size_t i = 0; i < n * c && !nuclear; ++i) predictions[i] = sums[i];
  return {n_times_loss_up(p, predictions) + p.rows * p.lam * omega, p.rows};
}

// ---------------------------------------------------------------------------------------------------------------------
// The lower bound of scope patterns (Lemma 5).

Rational lower_bound_of_patterns(const Problem& p) {
  const File& f = p.f;
  const size_t n = p.n, d = p.d, c = p.c, patterns = f.size("patterns"), entries = f.size("entries");
  const size_t signs = f.kind == "relu" ? 2 : 1;
  const u128 blocks = static_cast<u128>(signs) * c * patterns;
  require(blocks < (u128{1} << 62), "there are too many blocks");
  require(f.kind == "relu" || entries == 0, "gated networks have no multipliers");
  check_places(f, static_cast<u64>(blocks), n);
  const Rational dual = dual_value_down(p);

  const Array t = array_of(f.t), g = array_of(f.multipliers);
  const string& penalty = f.penalty;
  const bool vanish = penalty == "none" || p.lam.sign() == 0;
  const Dyadic lam2 = square(p.lam);
  Sums of_t(d, p.x, t), of_g(d, p.x, g);
  vector<Dyadic> z(d), features(d), matrix;
  Dyadic squares;
  for (size_t i = 0; i < patterns; ++i) {
    vector<vector<Dyadic>> rows_of_z;
    for (size_t k = 0; k < c; ++k) {
      of_t.clear();
      for (size_t row = 0; row < n; ++row)
        if (f.active(i, row) && t[row * c + k].m != 0)
          for (size_t j = 0; j < d; ++j) of_t.add(j, p.x[row * d + j], t[row * c + k]);
      for (size_t s = 0; s < signs; ++s) {
        const i64 block = static_cast<i64>((s * c + k) * patterns + i);
        size_t from = 0, to = entries;  // the first entry of the block, by bisection
        while (from < to) {
          const size_t middle = (from + to) / 2;
          if (f.places[2 * middle] < block)
            from = middle + 1;
          else
            to = middle;
        }
        const bool coned = from < entries && f.places[2 * from] == block;
        if (coned) of_g.clear();
        for (; from < entries && f.places[2 * from] == block; ++from) {
          const size_t row = static_cast<size_t>(f.places[2 * from + 1]);
          for (size_t j = 0; j < d; ++j) of_g.add(j, p.x[row * d + j], g[from], !f.active(i, row));
        }
        for (size_t j = 0; j < d; ++j) {
          z[j] = s == 0 ? -of_t[j] : of_t[j];
          if (coned) z[j] += of_g[j];
          if (vanish)
            require(z[j].sign() == 0, "z does not vanish");
          else if (penalty == "l1")
            require(z[j].abs() <= p.lam, "the dual norm of z is larger than lam");
          else if (penalty == "feature_group_l1")
            features[j] += square(z[j]);
        }
        if (vanish) continue;
        if (penalty == "group_l1") require(square_norm(z) <= lam2, "the dual norm of z is larger than lam");
        if (penalty == "squared_l2") squares += square_norm(z);
        if (penalty == "nuclear") rows_of_z.push_back(z);
      }
    }
    if (rows_of_z.empty()) continue;
    matrix.clear();  // lam^2 I - Z Z'
    for (size_t k = 0; k < c; ++k)
      for (size_t l = 0; l < c; ++l) {
        Dyadic v = k == l ? lam2 : Dyadic();
        for (size_t j = 0; j < d; ++j) v -= rows_of_z[k][j] * rows_of_z[l][j];
        matrix.push_back(std::move(v));
      }
    require(positive_semidefinite(matrix, c), "the dual norm of z is larger than lam");
  }
  for (const Dyadic& v : features) require(v <= lam2, "the dual norm of z is larger than lam");
  if (squares.sign() == 0) return dual;
  return dual + Rational{-squares, Dyadic(i64{2}) * p.lam};
}

// ---------------------------------------------------------------------------------------------------------------------
// The lower bound of scope global (Lemmas 7 to 11).

struct Global {
  size_t rank = 0, lines = 0;
  i64 line_exponent = 0, tau_exponent = 0;  // of e, tau; w0 is in units of 2^(their sum)
  vector<Int> e, tau, w0;                   // e: row after row
  Dyadic bound2, stretch;                   // R^2 = bound2 / stretch
  // sqrt(squares) <= R, for the squares of a norm or a number
  bool within(const Dyadic& squares) const { return squares * stretch <= bound2; }
};

Global condition_of_lines(const Problem& p) {
  const File& f = p.f;
  const size_t n = p.n, d = p.d, rank = f.size("rank"), lines = f.size("lines");
  const Array a = array_of(f.basis), e = array_of(f.lines), t = array_of(f.t), g = array_of(f.row_sizes);
  vector<vector<size_t>> rows_of_line(lines + 1);
  for (size_t i = 0; i < n; ++i) {
    const i64 line = f.row_lines[i];
    require(line >= -static_cast<i64>(lines) && line <= static_cast<i64>(lines),
            "a row is near a line that does not exist");
    require(f.row_sizes[i] >= 0, "a row size is negative");
    rows_of_line[static_cast<size_t>(line < 0 ? -line : line)].push_back(i);
  }

  Global q;
  q.rank = rank;
  q.lines = lines;
  Sums direction(d, e, a), sides(2 * lines, t, g);
  Dyadic slack;
  vector<Dyadic> near(d);
  for (size_t k = 0; k <= lines; ++k) {
    if (k > 0 && !rows_of_line[k].empty()) {
      direction.clear();
      for (size_t i = 0; i < rank; ++i)
        for (size_t j = 0; j < d; ++j) direction.add(j, a[i * d + j], e[(k - 1) * rank + i]);
      for (size_t j = 0; j < d; ++j) near[j] = direction[j];
    }
    for (const size_t i : rows_of_line[k]) {
      const bool positive = f.row_lines[i] > 0;
      if (k > 0) sides.add(2 * (k - 1) + (positive ? 0 : 1), t[i], g[i]);
      if (t[i].m == 0) continue;
      const Dyadic size(positive ? f.row_sizes[i] : -f.row_sizes[i]);
      Dyadic squares;
      for (size_t j = 0; j < d; ++j) {
        Dyadic rest(p.data.x[i * d + j]);
        if (k > 0) rest -= size * near[j];
        squares += square(rest);
      }
      slack += Dyadic(f.t[i]).abs() * root_up(squares);
    }
  }

  Sums gram(1, a, a);
  for (size_t i = 0; i < rank; ++i) {
    Dyadic row;
    for (size_t k = 0; k < rank; ++k) {
      gram.clear();
      for (size_t j = 0; j < d; ++j) gram.add(0, a[i * d + j], a[k * d + j]);
      row += gram[0].abs();
    }
    if (q.stretch < row) q.stretch = row;
  }
  require(slack < p.lam, "the rows are too far from their lines");
  require(q.stretch.sign() > 0, "the basis vanishes");
  q.bound2 = square(p.lam - slack);

  q.line_exponent = e.lo;
  q.tau_exponent = sides.exponent();
  for (const double v : f.lines) q.e.push_back(Dyadic(v).at(e.lo));
  q.w0.resize(rank);
  for (size_t k = 0; k < lines; ++k) {
    const Int minus = sides.integer(2 * k + 1);
    q.tau.push_back(sides.integer(2 * k) + minus);
    for (size_t j = 0; j < rank; ++j) q.w0[j] -= minus * q.e[k * rank + j];
  }
  return q;
}

// The same of -f.
void negate(Global& q) {
  for (Int& v : q.tau) v = -v;
  for (Int& v : q.w0) v = -v;
}

// Lemma 10. The directions are passed counterclockwise; h changes by tau_k e_k where e_k'z changes sign.
void prove_by_maximum(Global q) {
  require(q.rank == 1 || q.rank == 2, "the proof `maximum` is for rank 1 and 2");
  struct Direction {
    Int x, y;
    size_t line;
    int step;  // 1: e'z becomes positive, -1: it stops to be, 0: nothing changes
    bool lower_half() const { return y.sign() < 0 || (y.sign() == 0 && x.sign() < 0); }
  };
  const auto cross = [](const Int& ax, const Int& ay, const Int& bx, const Int& by) {
    return (ax * by - ay * bx).sign();
  };
  vector<Direction> all = {{1, 0, 0, 0}, {0, 1, 0, 0}, {-1, 0, 0, 0}, {0, -1, 0, 0}};
  const bool plane = q.rank == 2;
  Int hx = q.w0[0], hy = plane ? q.w0[1] : Int();
  for (size_t k = 0; k < q.lines; ++k) {
    const Int x = q.e[k * q.rank], y = plane ? q.e[k * q.rank + 1] : Int();
    if (x.sign() == 0 && y.sign() == 0) continue;
    all.push_back({y, -x, k, 1});
    all.push_back({-y, x, k, -1});
    if (x.sign() > 0 || (x.sign() == 0 && y.sign() < 0)) {  // positive just before the direction (1, 0)
      hx += q.tau[k] * x;
      hy += q.tau[k] * y;
    }
  }
  std::sort(all.begin(), all.end(), [&](const Direction& a, const Direction& b) {
    if (a.lower_half() != b.lower_half()) return b.lower_half();
    return cross(a.x, a.y, b.x, b.y) > 0;
  });
  const i64 exponent = q.line_exponent + q.tau_exponent;
  const auto check = [&](const Int& fx, const Int& fy, const Direction& a, const Direction& b) {
    const Int value = fx * a.x + fy * a.y;  // <= R ||a||
    if (value.sign() > 0)
      require(Dyadic(value * value, 2 * exponent) * q.stretch <= q.bound2 * Dyadic(a.x * a.x + a.y * a.y, 0),
              "f is larger than R on the circle");
    if (cross(a.x, a.y, fx, fy) >= 0 && cross(fx, fy, b.x, b.y) >= 0)
      require(q.within(Dyadic(fx * fx + fy * fy, 2 * exponent)), "f is larger than R on the circle");
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const Direction &a = all[i], &b = all[(i + 1) % all.size()];
    if (a.step != 0) {
      const Int x = q.e[a.line * q.rank], y = plane ? q.e[a.line * q.rank + 1] : Int();
      hx += (a.step > 0 ? q.tau[a.line] : -q.tau[a.line]) * x;
      hy += (a.step > 0 ? q.tau[a.line] : -q.tau[a.line]) * y;
    }
    if (cross(a.x, a.y, b.x, b.y) == 0) continue;  // the same direction again
    check(hx, hy, a, b);
    check(-hx, -hy, a, b);
  }
}

// Lemma 11.
void prove_by_relaxation(const Problem& p, const Global& q, size_t half_of_file) {
  const double* multipliers = p.f.multipliers.data() + half_of_file * 4 * q.lines;
  const Dyadic nu(p.f.corners[2 * half_of_file]), mu(p.f.corners[2 * half_of_file + 1]);
  require(mu.sign() >= 0, "mu is negative");
  const size_t r = q.rank, order = r + 1;
  vector<Dyadic> b, matrix(order * order), e(r);
  for (const Int& v : q.w0) b.emplace_back(v, q.line_exponent + q.tau_exponent);
  Dyadic total = nu + mu;
  for (size_t k = 0; k < q.lines; ++k) {
    const Dyadic rho(multipliers[k]), gamma(multipliers[q.lines + k]), delta(multipliers[2 * q.lines + k]);
    const Dyadic kappa(multipliers[3 * q.lines + k]), tau(q.tau[k], q.tau_exponent);
    require(rho.sign() >= 0 && delta.sign() >= 0 && kappa.sign() >= 0, "a multiplier of the relaxation is negative");
    for (size_t i = 0; i < r; ++i) e[i] = Dyadic(q.e[k * r + i], q.line_exponent);
    Dyadic m = gamma.abs() + delta * root_up(square_norm(e));
    if (m < -tau) m = -tau;
    require(square(tau + m) <= Dyadic(i64{8}) * rho * kappa, "multipliers of the relaxation do not fit");
    total += kappa;
    const Dyadic linear = half(tau + gamma), quadratic = half(rho - delta);
    for (size_t i = 0; i < r; ++i) {
      b[i] += linear * e[i];
      for (size_t j = 0; j < r; ++j) matrix[(i + 1) * order + j + 1] -= quadratic * e[i] * e[j];
    }
  }
  matrix[0] = nu;
  for (size_t i = 0; i < r; ++i) {
    matrix[(i + 1) * order + i + 1] += mu;
    matrix[i + 1] = matrix[(i + 1) * order] = -half(b[i]);
  }
  require(positive_semidefinite(matrix, order), "the matrix of the relaxation is not positive semidefinite");
  require(total.sign() >= 0 && q.within(square(total)), "the bound of the relaxation is larger than R");
}

// Lemma 9.
class Cones {
 public:
  Cones(const File& f, const Global& q, size_t& cut, size_t& leaf, size_t& entry)
      : f_(f), q_(q), r_(q.rank), cut_(cut), leaf_(leaf), entry_(entry) {
    for (const double v : f.points)
      if (v != 0) point_exponent_ = std::min(point_exponent_, Dyadic(v).e);
    for (const double v : f.multipliers)
      if (v != 0) multiplier_exponent_ = std::min(multiplier_exponent_, Dyadic(v).e);
  }

  void prove() {
    const size_t rows = f_.cuts.size() / 4;
    require(r_ < 40 && (u64{1} << r_) <= rows - cut_, "the cones end too early");
    for (u64 orthant = u64{1} << r_; orthant-- > 0;) {  // the last one is on top of the stack
      vector<Cone> stack(1);
      for (size_t j = 0; j < r_; ++j) {
        Ray ray;
        ray.v.resize(r_);
        ray.v[j] = Int((orthant >> j & 1) != 0 ? 1 : -1);
        for (size_t k = 0; k < q_.lines; ++k) ray.s.push_back(q_.e[k * r_ + j] * ray.v[j]);
        stack[0].rays.push_back(finished(std::move(ray)));
      }
      while (!stack.empty()) {
        const Cone cone = std::move(stack.back());
        stack.pop_back();
        require(cut_ < rows, "the cones end too early");
        const std::uint16_t* row = &f_.cuts[4 * cut_++];
        if (row[2] == 0 && row[3] == 0) {
          check_leaf(cone);
          continue;
        }
        const size_t a = row[0], b = row[1];
        require(a < r_ && b < r_ && a != b && row[2] >= 1 && row[3] >= 1 && cone.depth < 256, "a cut is not valid");
        const Int alpha(row[2]), beta(row[3]);
        const Ray &va = *cone.rays[a], &vb = *cone.rays[b];
        Ray w;
        for (size_t i = 0; i < r_; ++i) w.v.push_back(alpha * va.v[i] + beta * vb.v[i]);
        for (size_t k = 0; k < q_.lines; ++k) w.s.push_back(alpha * va.s[k] + beta * vb.s[k]);
        const auto middle = finished(std::move(w));
        stack.push_back({cone.rays, cone.depth + 1});
        stack.back().rays[a] = middle;
        stack.push_back({cone.rays, cone.depth + 1});
        stack.back().rays[b] = middle;
      }
    }
  }

 private:
  struct Ray {
    vector<Int> v, s;  // s_k = e_k'v
    Int value;         // f(v)
    size_t bits = 0;
  };
  struct Cone {
    vector<std::shared_ptr<const Ray>> rays;
    int depth = 0;
  };
  const File& f_;
  const Global& q_;
  size_t r_;
  size_t &cut_, &leaf_, &entry_;  // what was read so far, of f and then of -f
  i64 point_exponent_ = 0, multiplier_exponent_ = 0;

  std::shared_ptr<const Ray> finished(Ray ray) const {
    for (size_t i = 0; i < r_; ++i) {
      ray.value += q_.w0[i] * ray.v[i];
      ray.bits = std::max(ray.bits, ray.v[i].bits());
    }
    for (size_t k = 0; k < q_.lines; ++k)
      if (ray.s[k].sign() > 0) ray.value += q_.tau[k] * ray.s[k];
    return std::make_shared<const Ray>(std::move(ray));
  }

  void check_leaf(const Cone& cone) {
    require(leaf_ < f_.size("leaves"), "there are more leaves than points");
    vector<Int> excess(r_);  // q_j - f(v_j), in units of f times 2^multiplier_exponent_
    size_t top = 0;
    for (const auto& ray : cone.rays) top = std::max(top, ray->bits);
    for (size_t k = 0; k < q_.lines; ++k) {
      if (q_.tau[k].sign() >= 0) continue;
      bool positive = false, negative = false;
      for (const auto& ray : cone.rays) {
        positive = positive || ray->s[k].sign() > 0;
        negative = negative || ray->s[k].sign() < 0;
      }
      if (!positive || !negative) continue;
      const Int size = -q_.tau[k];
      const Dyadic share = multiplier(k, cone, top);
      const Int above = Dyadic(i64{1}).at(multiplier_exponent_) - share.at(multiplier_exponent_);
      const Int below = share.at(multiplier_exponent_);
      for (size_t j = 0; j < r_; ++j) {  // (s)_+ - c s: (1 - c) s for s > 0, else -c s
        const Int& s = cone.rays[j]->s[k];
        if (s.sign() > 0) excess[j] += size * above * s;
        if (s.sign() < 0) excess[j] -= size * below * s;
      }
    }
    while (entry_ < f_.multipliers.size() && static_cast<u64>(f_.places[2 * entry_]) == leaf_) ++entry_;
    vector<Int> x(r_);
    Dyadic squares;
    for (size_t i = 0; i < r_; ++i) {
      const Dyadic v(f_.points[leaf_ * r_ + i]);
      x[i] = v.at(point_exponent_);
      squares += square(v);
    }
    require(q_.within(squares), "a point of a leaf is farther than R");
    const i64 unit = q_.line_exponent + q_.tau_exponent + multiplier_exponent_;
    for (size_t j = 0; j < r_; ++j) {
      Int product;
      for (size_t i = 0; i < r_; ++i) product += cone.rays[j]->v[i] * x[i];
      const Dyadic q((cone.rays[j]->value << static_cast<size_t>(-multiplier_exponent_)) + excess[j], unit);
      require(q <= Dyadic(product, point_exponent_), "f is not below the point of its cone at a ray");
    }
    ++leaf_;
  }

  Dyadic multiplier(size_t k, const Cone& cone, size_t top) {
    const auto here = [&] {
      return entry_ < f_.multipliers.size() && static_cast<u64>(f_.places[2 * entry_]) == leaf_;
    };
    while (here() && static_cast<u64>(f_.places[2 * entry_ + 1]) < k) ++entry_;
    if (here() && static_cast<u64>(f_.places[2 * entry_ + 1]) == k) return Dyadic(f_.multipliers[entry_]);
    Int sum;
    for (const auto& ray : cone.rays) sum += ray->s[k] << (top - ray->bits);
    return Dyadic(i64{sum.sign() > 0});
  }
};

Rational lower_bound_of_all(const Problem& p) {
  const Rational dual = dual_value_down(p);
  Global q = condition_of_lines(p);
  if (p.f.proof == "maximum") {
    prove_by_maximum(q);
  } else if (p.f.proof == "relaxation") {
    prove_by_relaxation(p, q, 0);
    negate(q);
    prove_by_relaxation(p, q, 1);
  } else {
    check_places(p.f, p.f.sizes.at("leaves"), q.lines);
    for (const double v : p.f.multipliers) require(v <= 1, "a multiplier is larger than 1");
    size_t cut = 0, leaf = 0, entry = 0;
    Cones(p.f, q, cut, leaf, entry).prove();
    negate(q);
    Cones(p.f, q, cut, leaf, entry).prove();
    require(4 * cut == p.f.cuts.size() && leaf == p.f.size("leaves"), "there are rows left after the last cone");
  }
  return dual;
}

// ---------------------------------------------------------------------------------------------------------------------
// The command.

struct Options {
  string certificate;
  std::map<string, string> values;
  bool json = false;
};

Options read_options(int count, char** words) {
  const std::set<string> anything;
  const std::map<string, const std::set<string>&> known = {
      {"--data", anything}, {"--lam", anything},       {"--delta", anything}, {"--loss", kLosses},
      {"--kind", kKinds},   {"--penalty", kPenalties}, {"--scope", kScopes}};
  const std::set<string> uncovered = {"--patterns", "--network", "--interval"};
  Options o;
  for (int i = 1; i < count; ++i) {
    const string word = words[i], name = word.substr(0, word.find('='));
    if (word == "--json") {
      o.json = true;
    } else if (uncovered.count(name) != 0) {
      throw Unusable(name + " is not covered by the second checker");
    } else if (known.count(name) != 0) {
      if (name == word && i + 1 == count) throw Unusable(name + " needs a value");
      const string value = name == word ? words[++i] : word.substr(name.size() + 1);
      const auto& choices = known.at(name);
      if (!choices.empty() && choices.count(value) == 0) throw Unusable(name + " cannot be " + value);
      o.values[name] = value;
    } else if (word.compare(0, 1, "-") == 0 || !o.certificate.empty()) {
      throw Unusable("unknown argument " + word);
    } else {
      o.certificate = word;
    }
  }
  if (o.certificate.empty() || o.values.count("--data") == 0)
    throw Unusable(
        "usage: second_checker CERTIFICATE --data DATA.npz [--lam L] [--loss NAME] [--delta D] [--penalty NAME]"
        " [--kind gated|relu] [--scope patterns|global] [--json]");
  return o;
}

void check_statement(const Options& o, const File& f) {
  for (const auto& [name, text] : o.values) {
    if (name == "--data") continue;
    if (name == "--lam" || name == "--delta") {
      const double v = parse_double(text);
      if (!std::isfinite(v)) throw Unusable(name + " is not a finite number");
      require(name == "--lam" ? v == f.lam : f.has_delta && v == f.delta,
              name == "--lam" ? "the file is about another lam" : "the file is about another delta");
      continue;
    }
    const string& held = name == "--loss"      ? f.loss
                         : name == "--penalty" ? f.penalty
                         : name == "--kind"    ? f.kind
                                               : f.scope;
    if (text != held) throw Rejected("the file is about " + name.substr(2) + " " + held + ", not " + text);
  }
}

string statement(const Options& o, const Problem& p) {
  const File& f = p.f;
  const auto quoted = [](const string& s) { return "\"" + s + "\""; };
  string from_file;
  for (const char* name : {"kind", "scope", "loss", "delta", "penalty", "lam", "patterns"}) {
    const string word = name;
    if ((word == "delta" && !f.has_delta) || (word == "patterns" && f.scope == "global")) continue;
    if (o.values.count("--" + word) == 0) from_file += (from_file.empty() ? "" : ", ") + quoted(word);
  }
  return "{\"kind\": " + quoted(f.kind) + ", \"scope\": " + quoted(f.scope) + ", \"loss\": " + quoted(f.loss) +
         ", \"delta\": " + (f.has_delta ? repr(f.delta) : "null") + ", \"penalty\": " + quoted(f.penalty) +
         ", \"lam\": " + repr(f.lam) + ", \"from_file\": [" + from_file + "], \"n\": " + std::to_string(p.n) +
         ", \"d\": " + std::to_string(p.d) + ", \"c\": " + std::to_string(p.c) +
         ", \"data_sha256\": " + quoted(f.data_sha256) +
         ", \"patterns\": " + (f.scope == "patterns" ? std::to_string(f.size("patterns")) : "null") + "}";
}

void verify(const Options& o) {
  const auto start = std::chrono::steady_clock::now();
  Problem p;
  p.data = read_data(o.values.at("--data"));
  p.f = read_certificate(o.certificate);
  p.n = p.data.n;
  p.d = p.data.d;
  p.c = p.data.c;
  check_statement(o, p.f);
  require(p.f.size("n") == p.n && p.f.size("d") == p.d && p.f.size("c") == p.c && p.f.data_sha256 == p.data.sha256,
          "the file is about other data");
  p.lam = Dyadic(p.f.lam);
  p.rows = Dyadic(static_cast<i64>(p.n));
  p.x = array_of(p.data.x);
  check_targets(p);
  const Rational lower = p.f.scope == "global" ? lower_bound_of_all(p) : lower_bound_of_patterns(p);
  const Rational upper = upper_bound(p);
  const bool exact = p.f.loss == "squared" || p.f.loss == "huber";
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (o.json) {
    std::cout << "{\"verified\": true, \"statement\": " << statement(o, p) << ", \"lower\": \""
              << decimal_text(lower, false) << "\", \"upper\": \"" << decimal_text(upper, true)
              << "\", \"lower_exact\": " << (exact ? "\"" + exact_text(lower) + "\"" : "null")
              << ", \"upper_exact\": " << (exact ? "\"" + exact_text(upper) + "\"" : "null")
              << ", \"arithmetic\": \"exact\", \"seconds\": " << seconds << "}\n";
    return;
  }
  std::cout << "verified: " << decimal_text(lower, false) << " <= optimal value <= " << decimal_text(upper, true)
            << "\n"
            << "statement: " << statement(o, p) << "\n";
}

string printable(string s) {  // also inside of a JSON string
  for (char& c : s)
    if (c < 32 || c > 126 || c == '"' || c == '\\') c = '?';
  return s;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  try {
    options = read_options(count, words);
    verify(options);
    return 0;
  } catch (const Rejected& e) {
    if (options.json)
      std::cout << "{\"verified\": false, \"reason\": \"" << printable(e.what()) << "\"}\n";
    else
      std::cout << "rejected: " << printable(e.what()) << "\n";
    return 1;
  } catch (const Unusable& e) {
    std::cerr << "second_checker: " << printable(e.what()) << "\n";
    return 2;
  } catch (const std::exception& e) {
    std::cerr << "second_checker: failure: " << printable(e.what()) << "\n";
    return 3;
  }
}
