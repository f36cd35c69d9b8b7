// Attention over packed bfloat16 tokens, for x86 processors with AVX512-BF16.
//
// What torch's own operations cost here is memory: scores, weights and copies of every head are written out
// and read again. These keep a few query rows' scores in the first-level cache. Scores, softmax and sums are
// float32; what is multiplied is bfloat16, as in the linear layers. Called with addresses;
// embedd/worker/native.py checks types and shapes before. Elsewhere than on such processors the module is
// there and SUPPORTED is false.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

namespace {

using bf16 = uint16_t;

constexpr int LANES = 16;         // float32 numbers of a register, or pairs of bfloat16 ones
constexpr int PANEL = 4 * LANES;  // columns multiplied at once
constexpr int ROWS = 6;          // rows multiplied at once: 6 x 4 sums leave registers for what is multiplied
constexpr int BLOCK = 4 * ROWS;  // query rows whose scores are kept at once

constexpr float LOG2_E = 1.44269504f;

int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// ---- arithmetic on registers

template <int COUNT = LANES>
inline uint32_t lanes_between(int64_t first, int64_t last) {
    const auto low = std::clamp<int64_t>(first, 0, COUNT), high = std::clamp<int64_t>(last, low, COUNT);
    return static_cast<uint32_t>((uint64_t{1} << high) - (uint64_t{1} << low));
}

// 2^x: a polynomial on [-1/2, 1/2] (Taylor's, within 3e-6), scaled by the whole part; 0 for minus infinity.
AVX512 inline __m512 exp2(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x);  // in this order: what is not a number stays so
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 rest = _mm512_sub_ps(x, whole);
    __m512 sum = _mm512_set1_ps(1.3333558e-3f);
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(9.6181291e-3f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.5504109e-2f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(2.4022651e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(6.9314718e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, whole);
}

AVX512 inline __m256i narrowed(__m512 wide) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(wide)); }

// ---- products

// ROWS rows of bfloat16 pairs times a panel of VECTORS * LANES columns: sums[row][column] in float32.
template <int VECTORS>
AVX512 void multiply_panel(const uint32_t* rows, int64_t row_pairs, int64_t pairs, const uint32_t* panel,
                           float* sums, int64_t sums_stride) {
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) sum[row][v] = _mm512_setzero_ps();
    for (int64_t pair = 0; pair < pairs; ++pair) {
        __m512bh column[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v)
            column[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(panel + (pair * VECTORS + v) * LANES));
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(rows[row * row_pairs + pair]));
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) sum[row][v] = _mm512_dpbf16_ps(sum[row][v], both, column[v]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) _mm512_store_ps(sums + row * sums_stride + v * LANES, sum[row][v]);
}

// A matrix of bfloat16, in panels: pairs of its rows, PANEL columns wide, the last panel as wide as is left.
struct Panels {
    uint32_t* at;
    int64_t row_pairs;
    int64_t columns;  // a multiple of LANES

    int64_t width(int64_t first) const { return std::min<int64_t>(PANEL, columns - first); }
    uint32_t* panel(int64_t first) const { return at + first * row_pairs; }
    uint32_t* pairs_of(int64_t column, int64_t pair) const {
        const int64_t first = column / PANEL * PANEL;
        return panel(first) + pair * width(first) + column - first;
    }

    // `count` rows times columns [first, last), over pairs [pair, last_pair); first a multiple of PANEL.
    AVX512 void multiply(const uint32_t* rows, int64_t count, int64_t pair, int64_t last_pair, int64_t first,
                         int64_t last, float* sums, int64_t sums_stride) const {
        for (; first < last; first += PANEL) {
            const auto wide = width(first) / LANES;
            const auto multiply = wide == 4   ? multiply_panel<4>
                                  : wide == 3 ? multiply_panel<3>
                                  : wide == 2 ? multiply_panel<2>
                                              : multiply_panel<1>;
            for (int64_t row = 0; row < count; row += ROWS)
                multiply(rows + row * row_pairs + pair, row_pairs, last_pair - pair,
                         panel(first) + pair * wide * LANES, sums + row * sums_stride + first, sums_stride);
        }
    }
};

// ---- attention

// (tokens, heads, d) of bfloat16, d next to each other; strides in numbers.
struct Tensor {
    const bf16* at;
    int64_t token_stride, head_stride;

    const bf16* row(int64_t token, int64_t head) const {
        return at + token * token_stride + head * head_stride;
    }
};

struct Attention {
    Tensor query, key, value;
    bf16* mixed;  // (tokens, heads, d)
    const int32_t* borders;
    int64_t sequences, heads, key_heads, d;
    float scale;
    bool causal;
    int64_t window;  // tokens each way, itself included; 0 for no limit

    int64_t first_seen(int64_t query) const { return window ? std::max<int64_t>(0, query - window + 1) : 0; }
    int64_t last_seen(int64_t query, int64_t length) const {
        const int64_t ahead = causal ? query + 1 : window ? query + window : length;
        return std::min(ahead, length);
    }
};

// What one thread works with: one head of one sequence, and BLOCK of its query rows.
class Scratch {
  public:
    Scratch(int64_t longest, int64_t d)
        : keys(round_up(longest, LANES)),
          dims(round_up(d, 2 * LANES)),
          memory_(new (std::align_val_t(64))
                      uint32_t[keys * dims + BLOCK * (keys + keys / 2 + dims + dims / 2)]) {
        key = memory_.get();
        value = key + keys * dims / 2;
        scores = reinterpret_cast<float*>(value + keys * dims / 2);
        weights = reinterpret_cast<uint32_t*>(scores + BLOCK * keys);
        mixed = reinterpret_cast<float*>(weights + BLOCK * keys / 2);
        query = reinterpret_cast<uint32_t*>(mixed + BLOCK * dims);
    }

    const int64_t keys, dims;
    uint32_t *key, *value, *weights, *query;  // pairs
    float *scores, *mixed;

  private:
    struct Free {
        void operator()(uint32_t* memory) const { ::operator delete[](memory, std::align_val_t(64)); }
    };
    std::unique_ptr<uint32_t[], Free> memory_;
};

// Turns 16 rows of 16 numbers into columns: to shuffle the upper half of all between the lower one moves
// every bit of a number's place up by one, and four times that exchanges row and column.
AVX512 inline void transpose(__m512i (&rows)[LANES]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma GCC unroll 4
    for (int round = 0; round < 4; ++round) {
        __m512i shuffled[LANES];
#pragma GCC unroll 8
        for (int row = 0; row < LANES / 2; ++row) {
            shuffled[2 * row] = _mm512_permutex2var_epi32(rows[row], low, rows[row + LANES / 2]);
            shuffled[2 * row + 1] = _mm512_permutex2var_epi32(rows[row], high, rows[row + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int row = 0; row < LANES; ++row) rows[row] = shuffled[row];
    }
}

// Keys as columns and pairs of their dimensions as rows; zero where there is no token or dimension.
AVX512 Panels lay_out_keys(const Attention& all, const Scratch& scratch, int64_t first, int64_t length,
                           int64_t head) {
    const Panels panels{scratch.key, scratch.dims / 2, round_up(length, LANES)};
    for (int64_t token = 0; token < length; token += LANES)
        for (int64_t pair = 0; pair < panels.row_pairs; pair += LANES) {
            const auto dims = lanes_between<2 * LANES>(0, all.d - 2 * pair);
            __m512i block[LANES];
#pragma GCC unroll 16
            for (int row = 0; row < LANES; ++row) {
                const auto real = token + row < length ? dims : 0;
                block[row] =
                    _mm512_maskz_loadu_epi16(real, all.key.row(first + token + row, head) + 2 * pair);
            }
            transpose(block);
#pragma GCC unroll 16
            for (int row = 0; row < LANES; ++row)
                _mm512_store_si512(panels.pairs_of(token, pair + row), block[row]);
        }
    return panels;
}

// Dimensions as columns and pairs of tokens as rows; zero where there is no token.
AVX512 Panels lay_out_values(const Attention& all, const Scratch& scratch, int64_t first, int64_t length,
                             int64_t head) {
    const Panels panels{scratch.value, round_up(length, LANES) / 2, scratch.dims};
    for (int64_t pair = 0; pair < panels.row_pairs; ++pair)
        for (int64_t column = 0; column < scratch.dims; column += LANES) {
            const auto real = lanes_between(0, all.d - column);
            const auto low = 2 * pair < length ? real : 0, high = 2 * pair + 1 < length ? real : 0;
            const auto* even = all.value.row(first + 2 * pair, head) + column;
            const auto* odd = all.value.row(first + 2 * pair + 1, head) + column;
            const __m512i both = _mm512_or_si512(
                _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(low, even)),
                _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(high, odd)), 16));
            _mm512_store_si512(panels.pairs_of(column, pair), both);
        }
    return panels;
}

AVX512 void lay_out_queries(const Attention& all, const Scratch& scratch, int64_t first, int64_t count,
                            int64_t head) {
    auto* at = reinterpret_cast<bf16*>(scratch.query);
    for (int64_t row = 0; row < BLOCK; ++row)
        for (int64_t column = 0; column < scratch.dims; column += LANES, at += LANES) {
            const auto real = row < count ? lanes_between(0, all.d - column) : 0u;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                                _mm256_maskz_loadu_epi16(real, all.query.row(first + row, head) + column));
        }
}

// A row's scores [from, to) to weights, the largest one's being 1; what all of them sum up to.
AVX512 float weigh(const float* scores, bf16* weights, int64_t from, int64_t to, float scale) {
    __m512 most = _mm512_load_ps(scores + from);
    for (int64_t at = from + LANES; at < to; at += LANES)
        most = _mm512_max_ps(most, _mm512_load_ps(scores + at));
    const __m512 by = _mm512_set1_ps(scale * LOG2_E);
    const __m512 largest = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), by);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t at = from; at < to; at += LANES) {
        const __m512 weight = exp2(_mm512_fmsub_ps(_mm512_load_ps(scores + at), by, largest));
        sum = _mm512_add_ps(sum, weight);
        _mm256_store_si256(reinterpret_cast<__m256i*>(weights + at), narrowed(weight));
    }
    return _mm512_reduce_add_ps(sum);
}

// One head's queries against its keys and values, a block of rows after the other.
AVX512 void attend_head(const Attention& all, const Scratch& scratch, const Panels& keys,
                        const Panels& values, int64_t start, int64_t length, int64_t head) {
    const int64_t stride = keys.columns;
    for (int64_t first = 0; first < length; first += BLOCK) {
        const int64_t count = std::min<int64_t>(BLOCK, length - first);
        const int64_t from = all.first_seen(first) / PANEL * PANEL;
        const int64_t to = round_up(all.last_seen(first + count - 1, length), LANES);
        lay_out_queries(all, scratch, start + first, count, head);
        keys.multiply(scratch.query, count, 0, keys.row_pairs, from, to, scratch.scores, stride);
        float sums[BLOCK];
        for (int64_t row = 0; row < count; ++row) {
            const int64_t query = first + row;
            float* scores = scratch.scores + row * stride;
            std::fill(scores + from, scores + std::max(from, all.first_seen(query)), -INFINITY);
            std::fill(scores + all.last_seen(query, length), scores + to, -INFINITY);
            auto* weights = reinterpret_cast<bf16*>(scratch.weights) + row * stride;
            sums[row] = weigh(scores, weights, from, to, all.scale);
        }
        values.multiply(scratch.weights, count, from / 2, to / 2, 0, values.columns, scratch.mixed,
                        scratch.dims);
        for (int64_t row = 0; row < count; ++row) {
            bf16* out = all.mixed + ((start + first + row) * all.heads + head) * all.d;
            const __m512 share = _mm512_set1_ps(1.0f / sums[row]);
            for (int64_t column = 0; column < all.d; column += LANES) {
                const __m512 mixed =
                    _mm512_mul_ps(_mm512_load_ps(scratch.mixed + row * scratch.dims + column), share);
                _mm256_mask_storeu_epi16(out + column, lanes_between(0, all.d - column), narrowed(mixed));
            }
        }
    }
}

// All sequences; threads take one key head of one sequence after the other, the longest first.
void attend(const Attention& all, int64_t longest, int64_t threads) {
    std::atomic<int64_t> left{all.sequences * all.key_heads};
    const auto work = [&all, &left](const Scratch& scratch) {
        for (int64_t next; (next = --left) >= 0;) {
            const int64_t sequence = next / all.key_heads, key_head = next % all.key_heads;
            const int64_t start = all.borders[sequence], length = all.borders[sequence + 1] - start;
            const Panels keys = lay_out_keys(all, scratch, start, length, key_head);
            const Panels values = lay_out_values(all, scratch, start, length, key_head);
            const int64_t shared = all.heads / all.key_heads;
            for (int64_t head = key_head * shared; head < (key_head + 1) * shared; ++head)
                attend_head(all, scratch, keys, values, start, length, head);
        }
    };
    std::vector<Scratch> scratches;  // all of them before the first thread: memory may be short
    for (int64_t thread = 0; thread < threads; ++thread) scratches.emplace_back(longest, all.d);
    std::vector<std::thread> others;
    for (int64_t other = 1; other < threads; ++other) others.emplace_back(work, std::cref(scratches[other]));
    work(scratches[0]);
    for (auto& other : others) other.join();
}

// ---- Python

template <typename T>
T* address(unsigned long long at) {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(at));
}

PyObject* py_attend(PyObject*, PyObject* args) {
    unsigned long long query, key, value, mixed, borders;
    long long query_token, query_head, key_token, key_head, value_token, value_head;
    long long sequences, heads, key_heads, d, longest, window, threads;
    float scale;
    int causal;
    if (!PyArg_ParseTuple(args, "(KLL)(KLL)(KLL)KKLLLLLfpLL", &query, &query_token, &query_head, &key,
                          &key_token, &key_head, &value, &value_token, &value_head, &mixed, &borders,
                          &sequences, &heads, &key_heads, &d, &longest, &scale, &causal, &window, &threads))
        return nullptr;
    const Attention all{{address<bf16>(query), query_token, query_head},
                        {address<bf16>(key), key_token, key_head},
                        {address<bf16>(value), value_token, value_head},
                        address<bf16>(mixed),
                        address<int32_t>(borders),
                        sequences,
                        heads,
                        key_heads,
                        d,
                        scale,
                        causal != 0,
                        window};
    bool done = true;
    Py_BEGIN_ALLOW_THREADS;
    try {
        attend(all, longest, threads);
    } catch (const std::bad_alloc&) {
        done = false;
    }
    Py_END_ALLOW_THREADS;
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

bool is_supported() { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl"); }

PyMethodDef METHODS[] = {{"attend", py_attend, METH_VARARGS, nullptr}, {}};

}  // namespace

#else

namespace {

bool is_supported() { return false; }
PyMethodDef METHODS[] = {{}};

}  // namespace

#endif

PyMODINIT_FUNC PyInit__kernels() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", nullptr, -1, METHODS};
    PyObject* made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "SUPPORTED", is_supported()) < 0) Py_CLEAR(made);
    return made;
}
