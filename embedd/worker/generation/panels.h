// Rows of float32 numbers times a panel: PANEL columns of a matrix, which lie together row by row in float32,
// bfloat16 or int8. All that the kernels multiply is laid out so: weights, keys and values.
//
// Each sum begins with the panel's first row and takes in one after the other, whatever is multiplied beside
// it, so that a token's numbers do not depend on its batch. Compiled for no processor in particular.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#define X86 1
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl")))
#endif

#define INLINE inline __attribute__((always_inline))

namespace {

constexpr int PANEL = 32;

struct bf16 {
    uint16_t bits;
};

// A register of so many bytes, and what fills one with numbers of other types.
template <int BYTES>
struct Lanes;

// Specialisations, as the compiler converts no vectors whose length is a template's parameter. ROWS are what is
// multiplied at once: with a panel's columns they fill twelve registers, of sixteen or more.
#define LANES(BYTES, ROWS_AT_ONCE)                                                          \
    template <>                                                                             \
    struct Lanes<BYTES> {                                                                   \
        static constexpr int COUNT = BYTES / sizeof(float), ROWS = ROWS_AT_ONCE;            \
        typedef float floats __attribute__((vector_size(BYTES)));                           \
        typedef int32_t whole __attribute__((vector_size(BYTES)));                          \
        typedef uint32_t words __attribute__((vector_size(BYTES)));                         \
        typedef uint16_t halves __attribute__((vector_size(BYTES / 2)));                    \
        typedef int16_t shorts __attribute__((vector_size(BYTES / 2)));                     \
        typedef int8_t bytes __attribute__((vector_size(BYTES / 4)));                       \
                                                                                            \
        static INLINE floats load(const float* at) {                                        \
            floats loaded;                                                                  \
            std::memcpy(&loaded, at, sizeof loaded);                                        \
            return loaded;                                                                  \
        }                                                                                   \
        static INLINE floats load(const bf16* at) {                                         \
            halves loaded;                                                                  \
            std::memcpy(&loaded, at, sizeof loaded);                                        \
            return reinterpret_cast<floats>(__builtin_convertvector(loaded, words) << 16);  \
        }                                                                                   \
        static INLINE floats load(const int8_t* at) {                                       \
            bytes loaded;                                                                   \
            std::memcpy(&loaded, at, sizeof loaded);                                        \
            const auto twice = __builtin_convertvector(loaded, shorts);                     \
            return __builtin_convertvector(__builtin_convertvector(twice, whole), floats);  \
        }                                                                                   \
        static INLINE void store(float* at, floats numbers) {                               \
            std::memcpy(at, &numbers, sizeof numbers);                                      \
        }                                                                                   \
        static INLINE floats all(float number) { return floats{} + number; }                \
    };

LANES(16, 1)
LANES(32, 3)
LANES(64, 6)

// What is multiplied next: it comes from memory meanwhile, a row's part of it with each row.
struct Ahead {
    const char* at = nullptr;
    int64_t step = 0;

    INLINE void fetch(int64_t row) const {
        if (!at) return;
        __builtin_prefetch(at + row * step, 0, 2);
        if (step > 64) __builtin_prefetch(at + row * step + 64, 0, 2);
    }
};

template <int BYTES, int ROWS, typename Weight>
INLINE void multiply_rows(const float* rows, int64_t stride, const Weight* panel, int64_t depth, float* sums,
                          int64_t sums_stride, bool add, const Ahead& ahead) {
    using L = Lanes<BYTES>;
    constexpr int VECTORS = PANEL / L::COUNT;
    typename L::floats sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v)
            sum[row][v] = add ? L::load(sums + row * sums_stride + v * L::COUNT) : typename L::floats{};
    for (int64_t k = 0; k < depth; ++k, panel += PANEL) {
        ahead.fetch(k);
        typename L::floats column[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) column[v] = L::load(panel + v * L::COUNT);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const auto number = L::all(rows[row * stride + k]);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) sum[row][v] += number * column[v];
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v)
            L::store(sums + row * sums_stride + v * L::COUNT, sum[row][v]);
}

// `count` rows (count, depth) times a panel, to (count, PANEL) sums; `add` goes on with what they hold.
template <int BYTES, typename Weight>
INLINE void multiply(const float* rows, int64_t stride, int64_t count, const Weight* panel, int64_t depth,
                     float* sums, int64_t sums_stride, bool add, const Ahead& ahead = {}) {
    constexpr int ROWS = Lanes<BYTES>::ROWS;
    int64_t row = 0;
    for (; row + ROWS <= count; row += ROWS)
        multiply_rows<BYTES, ROWS>(rows + row * stride, stride, panel, depth, sums + row * sums_stride,
                                   sums_stride, add, ahead);
    if constexpr (ROWS > 3)
        for (; row + 3 <= count; row += 3)
            multiply_rows<BYTES, 3>(rows + row * stride, stride, panel, depth, sums + row * sums_stride,
                                    sums_stride, add, ahead);
    if constexpr (ROWS > 1)
        for (; row + 2 <= count; row += 2)
            multiply_rows<BYTES, 2>(rows + row * stride, stride, panel, depth, sums + row * sums_stride,
                                    sums_stride, add, ahead);
    for (; row < count; ++row)
        multiply_rows<BYTES, 1>(rows + row * stride, stride, panel, depth, sums + row * sums_stride,
                                sums_stride, add, ahead);
}

}  // namespace
