// Vectors in eight bits beside the float32 ones, for scans that read a quarter of the bytes: their products tell how
// high a row's score can be at most, so that only rows that may be among the best are scored.
//
// A row v is a step times whole numbers from -127 to 127, and a rest r. The product of a query q with v is the product
// with the whole numbers, and at most |q| |r| more or less (Cauchy and Schwarz). What the query's own whole numbers
// leave of it, and what float32 sums leave of the score, is allowed for. Of the vectors only this is assumed, which
// index/codec.py sees to: they are so short that no product of two overflows.

#pragma once

#include "distances.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

constexpr int LARGEST_CODE = 127, LARGEST_QUERY_CODE = 32767;
// Times what float32 sums say a length is; they may be less than the truth by the four-thousandth part of this.
constexpr double SURELY = 1.001;

size_t coded_size(size_t dim) { return (dim + CODE_STEP - 1) / CODE_STEP * CODE_STEP; }

// What the codes of a row stand for: so much each. A product with them is off by less than the query's length times
// `doubt`. And the row's own squared length.
struct Scale {
    float step, doubt, square;
};

// So much of both lengths is what the query's codes leave, and what float32 sums of as many numbers do.
double rounding(size_t dim) {
    const double size = static_cast<double>(dim);
    return std::sqrt(size) / (2 * LARGEST_QUERY_CODE) + (size + 16) * std::numeric_limits<float>::epsilon();
}

// Codes and scale of a row of `size` numbers, the last of them nothing but filling.
inline __attribute__((always_inline)) Scale encode_lanes(const float* vector, size_t size, int8_t* codes,
                                                         double rounding) {
    constexpr size_t LANES = 16;
    static_assert(CODE_STEP % LANES == 0);
    float largest[LANES] = {}, squares[LANES] = {}, rests[LANES] = {};
    for (size_t i = 0; i < size; i += LANES)
        for (size_t lane = 0; lane < LANES; ++lane) {
            const float number = std::fabs(vector[i + lane]);
            largest[lane] = number > largest[lane] ? number : largest[lane];
        }
    const float step = std::max(*std::max_element(largest, largest + LANES) / LARGEST_CODE,
                                std::numeric_limits<float>::min());
    for (size_t i = 0; i < size; i += LANES)
        for (size_t lane = 0; lane < LANES; ++lane) {
            const float share = vector[i + lane] / step;
            const auto code = static_cast<int32_t>(share + std::copysign(0.5f, share));
            const float left = share - static_cast<float>(code);
            codes[i + lane] = static_cast<int8_t>(code);
            squares[lane] += share * share;
            rests[lane] += left * left;
        }
    double square = 0, rest = 0;
    for (size_t lane = 0; lane < LANES; ++lane) square += squares[lane], rest += rests[lane];
    const double length = step * std::sqrt(square), lacking = step * std::sqrt(rest);
    const double doubt = SURELY * (lacking + (length + lacking) * rounding);
    return {step, std::nextafter(static_cast<float>(doubt), std::numeric_limits<float>::infinity()),
            static_cast<float>(length * length)};
}

using Encode = Scale (*)(const float*, size_t, int8_t*, double);

Scale encode_plain(const float* vector, size_t size, int8_t* codes, double rounding) {
    return encode_lanes(vector, size, codes, rounding);
}

#if X86
AVX2 Scale encode_avx2(const float* vector, size_t size, int8_t* codes, double rounding) {
    return encode_lanes(vector, size, codes, rounding);
}
#endif

Encode choose_encode() {
#if X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return encode_avx2;
#endif
    return encode_plain;
}

void encode(const float* vectors, size_t rows, size_t dim, int8_t* codes, Scale* scales) {
    const Encode encode_row = choose_encode();
    const size_t size = coded_size(dim);
    const double left_out = rounding(dim);
    std::vector<float> filled(size);
    for (size_t row = 0; row < rows; ++row) {
        std::copy_n(vectors + row * dim, dim, filled.data());
        scales[row] = encode_row(filled.data(), size, codes + row * size, left_out);
    }
}

// A query as rows in eight bits are compared with it.
class CodedQuery {
  public:
    CodedQuery(const float* vector, size_t dim, bool is_l2)
        : codes_(coded_size(dim)), rounding_(rounding(dim)), is_l2_(is_l2) {
        double largest = 0;
        for (size_t i = 0; i < dim; ++i) {
            largest = std::max(largest, std::fabs(static_cast<double>(vector[i])));
            square_ += static_cast<double>(vector[i]) * vector[i];
        }
        length_ = std::sqrt(square_);
        step_ = std::max(largest / LARGEST_QUERY_CODE, std::numeric_limits<double>::min());
        for (size_t i = 0; i < dim; ++i) codes_[i] = static_cast<int16_t>(std::lrint(vector[i] / step_));
    }

    size_t size() const { return codes_.size(); }

    // No score of the row is higher.
    double most(const int8_t* codes, const Scale& scale) const {
        const auto product = static_cast<double>(KERNELS.multiply_wide(codes_.data(), codes, size()));
        const double dot = step_ * scale.step * product + length_ * scale.doubt + std::numeric_limits<float>::min();
        if (!is_l2_) return dot;
        const double squares = square_ + scale.square;
        const double distance = squares - 2 * dot - squares * rounding_;
        return distance > 0 ? -std::sqrt(distance) : 0;
    }

  private:
    std::vector<int16_t> codes_;
    double rounding_;
    bool is_l2_;
    double square_ = 0, length_ = 0, step_ = 0;
};

}  // namespace
