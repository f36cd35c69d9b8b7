// How near two vectors are, by what the processor has: dot products and squared distances of float32 numbers,
// and dot products of eight-bit ones with each other and with sixteen-bit ones. Compiled for no processor in particular; which one is there is asked
// when a module is loaded.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw")))
#endif

namespace {

// ---- distances between float32 vectors

// Registers of so many bytes, which the compiler maps to what the function around is compiled for.
template <int BYTES>
struct Lanes {
    typedef float type __attribute__((vector_size(BYTES)));
};

template <int BYTES, bool SQUARED>
inline __attribute__((always_inline)) float accumulate(const float* a, const float* b, size_t dim) {
    using Register = typename Lanes<BYTES>::type;
    constexpr size_t LANES = BYTES / sizeof(float), WAYS = 4;
    Register sums[WAYS] = {};
    size_t i = 0;
    for (; i + WAYS * LANES <= dim; i += WAYS * LANES)
#pragma GCC unroll 4
        for (size_t way = 0; way < WAYS; ++way) {
            Register left, right;
            std::memcpy(&left, a + i + way * LANES, BYTES);
            std::memcpy(&right, b + i + way * LANES, BYTES);
            if (SQUARED) {
                const Register difference = left - right;
                sums[way] += difference * difference;
            } else {
                sums[way] += left * right;
            }
        }
    const Register all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float sum = 0;
    for (size_t lane = 0; lane < LANES; ++lane) sum += all[lane];
    for (; i < dim; ++i) sum += SQUARED ? (a[i] - b[i]) * (a[i] - b[i]) : a[i] * b[i];
    return sum;
}

template <bool SQUARED>
float compare_plain(const float* a, const float* b, size_t dim) {
    return accumulate<16, SQUARED>(a, b, dim);
}

#if X86
template <bool SQUARED>
AVX2 float compare_avx2(const float* a, const float* b, size_t dim) {
    return accumulate<32, SQUARED>(a, b, dim);
}

template <bool SQUARED>
AVX512 float compare_avx512(const float* a, const float* b, size_t dim) {
    return accumulate<64, SQUARED>(a, b, dim);
}
#endif

// ---- products of eight-bit vectors, whose length is a multiple of CODE_STEP

constexpr size_t CODE_STEP = 32;

int32_t multiply_plain(const int8_t* a, const int8_t* b, size_t size) {
    int32_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += a[i] * b[i];
    return sum;
}

#if X86
AVX2 inline int32_t sum_of(__m256i sums) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b01001110));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b10110001));
    return _mm_cvtsi128_si32(half);
}

AVX2 int32_t multiply_avx2(const int8_t* a, const int8_t* b, size_t size) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < size; i += CODE_STEP)
#pragma GCC unroll 2
        for (size_t way = 0; way < 2; ++way) {
            const auto* left = reinterpret_cast<const __m128i*>(a + i + 16 * way);
            const auto* right = reinterpret_cast<const __m128i*>(b + i + 16 * way);
            const __m256i pairs = _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(left)),
                                                    _mm256_cvtepi8_epi16(_mm_loadu_si128(right)));
            sums[way] = _mm256_add_epi32(sums[way], pairs);
        }
    return sum_of(_mm256_add_epi32(sums[0], sums[1]));
}

AVX512 int32_t multiply_avx512(const int8_t* a, const int8_t* b, size_t size) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < size; i += CODE_STEP) {
        const auto* left = reinterpret_cast<const __m256i*>(a + i);
        const auto* right = reinterpret_cast<const __m256i*>(b + i);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256(left)),
                                                      _mm512_cvtepi8_epi16(_mm256_loadu_si256(right))));
    }
    return _mm512_reduce_add_epi32(sum);
}
#endif

// ---- products of sixteen-bit and eight-bit vectors, of such lengths as well

// So many products of -32767 to 32767 with -127 to 127 go into 32 bits.
constexpr size_t WIDE_STEP = 512;

int64_t multiply_wide_plain(const int16_t* a, const int8_t* b, size_t size) {
    int64_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += a[i] * b[i];
    return sum;
}

#if X86
AVX2 int64_t multiply_wide_avx2(const int16_t* a, const int8_t* b, size_t size) {
    int64_t all = 0;
    for (size_t start = 0; start < size; start += WIDE_STEP) {
        const size_t end = start + WIDE_STEP < size ? start + WIDE_STEP : size;
        __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (size_t i = start; i < end; i += CODE_STEP)
#pragma GCC unroll 2
            for (size_t way = 0; way < 2; ++way) {
                const auto* left = reinterpret_cast<const __m256i*>(a + i + 16 * way);
                const auto* right = reinterpret_cast<const __m128i*>(b + i + 16 * way);
                const __m256i pairs =
                    _mm256_madd_epi16(_mm256_loadu_si256(left), _mm256_cvtepi8_epi16(_mm_loadu_si128(right)));
                sums[way] = _mm256_add_epi32(sums[way], pairs);
            }
        all += sum_of(_mm256_add_epi32(sums[0], sums[1]));
    }
    return all;
}

AVX512 int64_t multiply_wide_avx512(const int16_t* a, const int8_t* b, size_t size) {
    int64_t all = 0;
    for (size_t start = 0; start < size; start += WIDE_STEP) {
        const size_t end = start + WIDE_STEP < size ? start + WIDE_STEP : size;
        __m512i sum = _mm512_setzero_si512();
        for (size_t i = start; i < end; i += CODE_STEP) {
            const auto* right = reinterpret_cast<const __m256i*>(b + i);
            sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_loadu_si512(a + i),
                                                          _mm512_cvtepi8_epi16(_mm256_loadu_si256(right))));
        }
        all += _mm512_reduce_add_epi32(sum);
    }
    return all;
}
#endif

// ---- what this processor has

struct Kernels {
    float (*dot)(const float*, const float*, size_t) = compare_plain<false>;
    float (*square)(const float*, const float*, size_t) = compare_plain<true>;
    int32_t (*multiply)(const int8_t*, const int8_t*, size_t) = multiply_plain;
    int64_t (*multiply_wide)(const int16_t*, const int8_t*, size_t) = multiply_wide_plain;
};

Kernels choose_kernels() {
#if X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw"))
        return {compare_avx512<false>, compare_avx512<true>, multiply_avx512, multiply_wide_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return {compare_avx2<false>, compare_avx2<true>, multiply_avx2, multiply_wide_avx2};
#endif
    return {};
}

const Kernels KERNELS = choose_kernels();

}  // namespace
