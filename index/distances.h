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

// ---- products of eight-bit vectors with each other, or with sixteen-bit ones; lengths are multiples of CODE_STEP

constexpr size_t CODE_STEP = 32;
// So many products of -32767 to 32767 with -127 to 127 go into 32 bits.
constexpr size_t WIDE_STEP = 512;

template <typename Left>
int32_t products_plain(const Left* a, const int8_t* b, size_t size) {
    int32_t sum = 0;
    for (size_t i = 0; i < size; ++i) sum += a[i] * b[i];
    return sum;
}

#if X86
AVX2 inline __m256i sixteen_avx2(const int8_t* at) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

AVX2 inline __m256i sixteen_avx2(const int16_t* at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

template <typename Left>
AVX2 int32_t products_avx2(const Left* a, const int8_t* b, size_t size) {
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < size; i += CODE_STEP)
#pragma GCC unroll 2
        for (size_t way = 0; way < 2; ++way) {
            const __m256i pairs =
                _mm256_madd_epi16(sixteen_avx2(a + i + 16 * way), sixteen_avx2(b + i + 16 * way));
            sums[way] = _mm256_add_epi32(sums[way], pairs);
        }
    const __m256i both = _mm256_add_epi32(sums[0], sums[1]);
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b01001110));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b10110001));
    return _mm_cvtsi128_si32(half);
}

AVX512 inline __m512i thirty_two_avx512(const int8_t* at) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

AVX512 inline __m512i thirty_two_avx512(const int16_t* at) { return _mm512_loadu_si512(at); }

template <typename Left>
AVX512 int32_t products_avx512(const Left* a, const int8_t* b, size_t size) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < size; i += CODE_STEP)
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(thirty_two_avx512(a + i), thirty_two_avx512(b + i)));
    return _mm512_reduce_add_epi32(sum);
}
#endif

template <int32_t (*PRODUCTS)(const int16_t*, const int8_t*, size_t)>
int64_t sum_stretches(const int16_t* a, const int8_t* b, size_t size) {
    int64_t sum = 0;
    for (size_t start = 0; start < size; start += WIDE_STEP)
        sum += PRODUCTS(a + start, b + start, size - start < WIDE_STEP ? size - start : WIDE_STEP);
    return sum;
}

// ---- what this processor has

struct Kernels {
    float (*dot)(const float*, const float*, size_t) = compare_plain<false>;
    float (*square)(const float*, const float*, size_t) = compare_plain<true>;
    int32_t (*multiply)(const int8_t*, const int8_t*, size_t) = products_plain<int8_t>;
    int64_t (*multiply_wide)(const int16_t*, const int8_t*, size_t) = sum_stretches<products_plain<int16_t>>;
};

Kernels choose_kernels() {
#if X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw"))
        return {compare_avx512<false>, compare_avx512<true>, products_avx512<int8_t>,
                sum_stretches<products_avx512<int16_t>>};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return {compare_avx2<false>, compare_avx2<true>, products_avx2<int8_t>,
                sum_stretches<products_avx2<int16_t>>};
#endif
    return {};
}

const Kernels KERNELS = choose_kernels();

}  // namespace
