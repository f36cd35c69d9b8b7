// What a language model's step costs on a CPU: the products of its linear layers, and attention over pages of
// keys and values.
//
// A product is bound by reading the weights, so they are laid out once, in panels, in as few bytes as wished;
// attention reads the pages of its own sequence and no others. Sums are float32. Called with addresses;
// embedd/worker/generation/native.py checks types and shapes before.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "panels.h"
#include "team.h"

namespace {

constexpr int64_t BLOCK = 24;       // rows whose scores are kept at once, or the heads of one token
constexpr int64_t ROW_BLOCK = 96;   // rows of a product whose sums are kept at once
constexpr int64_t DEPTH = 128;      // numbers of each row that are multiplied before the next rows come
constexpr int64_t ALONE = 1 << 17;  // products of so many numbers are made sooner than others are called for
constexpr float LOG2_E = 1.44269504f;

// Hands out the numbers from 0 to `count` to whoever asks.
class Tasks {
  public:
    explicit Tasks(int64_t count) : count_(count) {}
    bool take(int64_t& task) const { return (task = next_.fetch_add(1)) < count_; }

  private:
    int64_t count_;
    mutable std::atomic<int64_t> next_{0};
};

// ---- linear layers

struct Product {
    const float* rows;  // (count, depth), `stride` numbers from one to the next
    int64_t count, depth, stride;
    const void* panels;   // (columns / PANEL, depth, PANEL), rounded up
    const float* scales;  // (columns,) or none
    const float* bias;    // (columns,) or none
    float* products;      // (count, columns)
    int64_t columns;
};

// A part of a panel in float32, so that numbers are widened once and not for every few rows.
template <int BYTES, typename Weight>
INLINE void widen(const Weight* panel, int64_t depth, float* wide) {
    using L = Lanes<BYTES>;
    for (int64_t at = 0; at < depth * PANEL; at += L::COUNT) L::store(wide + at, L::load(panel + at));
}

// `count` rows, ROW_BLOCK at most, times a panel of what may be a narrow type.
template <int BYTES, typename Weight>
INLINE void multiply_block(const float* rows, int64_t stride, int64_t count, const Weight* panel, int64_t depth,
                           float* sums) {
    if (count <= Lanes<BYTES>::ROWS) return multiply<BYTES>(rows, stride, count, panel, depth, sums, PANEL, false);
    for (int64_t k = 0; k < depth; k += DEPTH) {
        const int64_t step = std::min(DEPTH, depth - k);
        const Ahead ahead{reinterpret_cast<const char*>(panel + (k + step) * PANEL), PANEL * sizeof(Weight)};
        if constexpr (std::is_same_v<Weight, float>) {
            multiply<BYTES>(rows + k, stride, count, panel + k * PANEL, step, sums, PANEL, k > 0, ahead);
        } else {
            float wide[DEPTH * PANEL];
            widen<BYTES>(panel + k * PANEL, step, wide);
            multiply<BYTES>(rows + k, stride, count, wide, step, sums, PANEL, k > 0, ahead);
        }
    }
}

template <int BYTES, typename Weight>
INLINE void multiply_panel(const Product& all, int64_t number) {
    const auto* panel = static_cast<const Weight*>(all.panels) + number * all.depth * PANEL;
    const int64_t first = number * PANEL, width = std::min<int64_t>(PANEL, all.columns - first);
    float sums[ROW_BLOCK * PANEL];
    for (int64_t start = 0; start < all.count; start += ROW_BLOCK) {
        const int64_t count = std::min(ROW_BLOCK, all.count - start);
        multiply_block<BYTES>(all.rows + start * all.stride, all.stride, count, panel, all.depth, sums);
        for (int64_t row = 0; row < count; ++row) {
            float* out = all.products + (start + row) * all.columns + first;
            for (int64_t column = 0; column < width; ++column) {
                float product = sums[row * PANEL + column];
                if (all.scales) product *= all.scales[first + column];
                out[column] = all.bias ? product + all.bias[first + column] : product;
            }
        }
    }
}

template <int BYTES>
INLINE void multiply_panels(const Product& all, int type, const Tasks& tasks, int64_t together) {
    const int64_t panels = (all.columns + PANEL - 1) / PANEL;
    for (int64_t task; tasks.take(task);)
        for (int64_t n = task * together; n < std::min(panels, (task + 1) * together); ++n)
            type == 0   ? multiply_panel<BYTES, float>(all, n)
            : type == 1 ? multiply_panel<BYTES, bf16>(all, n)
                        : multiply_panel<BYTES, int8_t>(all, n);
}

// ---- attention

struct Attention {
    const float *query, *key, *value;  // (tokens, heads, d), d next to each other
    int64_t query_token, query_head, key_token, key_head, value_token, value_head;  // strides
    void *keys, *values;      // pages: (pages, key heads, d, PANEL), (pages, key heads, d / PANEL, PANEL, PANEL)
    float* mixed;             // (tokens, heads, d)
    const int32_t* borders;   // (sequences + 1,) where each one's tokens begin
    const int32_t* before;    // (sequences,) how many tokens it had before
    const int32_t* tables;    // (sequences, table_width) its pages
    int64_t sequences, table_width, heads, key_heads, d;
    float scale, softcap;     // softcap: 0 for none
    int64_t window;           // tokens that a token sees, itself included; 0 for all

    int64_t shared() const { return heads / key_heads; }
    int64_t wide() const { return (d + PANEL - 1) / PANEL * PANEL; }
    int64_t first_seen(int64_t position) const {
        return window ? std::max<int64_t>(0, position - window + 1) : 0;
    }
};

inline void keep(bf16* at, float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    at->bits = static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);  // to the nearest, ties to even
}
inline void keep(float* at, float number) { *at = number; }

// Writes the new keys and values of one sequence and key head into their pages.
template <typename Number>
void store(const Attention& all, int64_t sequence, int64_t head) {
    for (int64_t token = all.borders[sequence]; token < all.borders[sequence + 1]; ++token) {
        const int64_t position = all.before[sequence] + token - all.borders[sequence];
        const int64_t page = all.tables[sequence * all.table_width + position / PANEL], slot = position % PANEL;
        auto* keys = static_cast<Number*>(all.keys) + (page * all.key_heads + head) * all.d * PANEL;
        auto* values = static_cast<Number*>(all.values) + (page * all.key_heads + head) * all.wide() * PANEL;
        const float* key = all.key + token * all.key_token + head * all.key_head;
        const float* value = all.value + token * all.value_token + head * all.value_head;
        for (int64_t i = 0; i < all.d; ++i) {
            keep(keys + i * PANEL + slot, key[i]);
            keep(values + i / PANEL * PANEL * PANEL + slot * PANEL + i % PANEL, value[i]);
        }
    }
}

// 2^x, within 3e-6 of it; 0 below 2^-126 and where x is no number.
template <int BYTES>
INLINE typename Lanes<BYTES>::floats exp2(typename Lanes<BYTES>::floats x) {
    using L = Lanes<BYTES>;
    const auto real = x > L::all(-126.0f);
    const auto rounded = x + L::all(12582912.0f);  // 1.5 * 2^23: its lowest bits are then the whole part
    const auto rest = x - (rounded - L::all(12582912.0f));
    auto sum = L::all(1.3333558e-3f);
    sum = sum * rest + L::all(9.6181291e-3f);
    sum = sum * rest + L::all(5.5504109e-2f);
    sum = sum * rest + L::all(2.4022651e-1f);
    sum = sum * rest + L::all(6.9314718e-1f);
    sum = sum * rest + L::all(1.0f);
    using Whole = typename L::words;
    const auto scaled = reinterpret_cast<Whole>(sum) + (reinterpret_cast<Whole>(rounded) << 23);
    return reinterpret_cast<typename L::floats>(scaled & reinterpret_cast<Whole>(real));
}

// The state of one block of rows: neighbouring query heads of neighbouring tokens, all of one key head.
struct Rows {
    explicit Rows(const Attention& all)
        : count(std::max(BLOCK, all.shared())),
          query(count * all.d),
          scores(count * PANEL),
          mixed(count * all.wide()),
          most(count),
          sum(count) {}

    int64_t count;
    std::vector<float> query, scores, mixed, most, sum;
};

// One row's scores in one page to weights, those of [from, to); what was mixed before is scaled to the new maximum.
template <int BYTES>
INLINE void weigh(const Attention& all, Rows& rows, int64_t row, int64_t from, int64_t to) {
    using L = Lanes<BYTES>;
    from = std::max<int64_t>(0, from), to = std::min<int64_t>(PANEL, to);
    float* scores = rows.scores.data() + row * PANEL;
    if (all.softcap > 0)
        for (int64_t at = from; at < to; ++at) scores[at] = all.softcap * std::tanh(scores[at] / all.softcap);
    float most = rows.most[row];
    for (int64_t at = 0; at < PANEL; ++at) {
        scores[at] = at >= from && at < to ? scores[at] * LOG2_E : -INFINITY;
        most = std::max(most, scores[at]);
    }
    if (most > rows.most[row]) {
        const auto factor = exp2<BYTES>(L::all(rows.most[row] - most));
        rows.sum[row] *= factor[0];
        float* mixed = rows.mixed.data() + row * all.wide();
        for (int64_t at = 0; at < all.wide(); at += L::COUNT) L::store(mixed + at, L::load(mixed + at) * factor);
        rows.most[row] = most;
    }
    auto sums = L::all(0.0f);
    for (int64_t at = 0; at < PANEL; at += L::COUNT) {
        const auto weights = exp2<BYTES>(L::load(scores + at) - L::all(most));
        L::store(scores + at, weights);
        sums += weights;
    }
    for (int64_t lane = 0; lane < L::COUNT; ++lane) rows.sum[row] += sums[lane];
}

// `count` tokens of a sequence from its `first` on, all query heads that share a key head.
template <int BYTES, typename Number>
INLINE void attend_block(const Attention& all, Rows& rows, int64_t sequence, int64_t head, int64_t first,
                         int64_t count) {
    const int64_t shared = all.shared(), d = all.d, wide = all.wide(), height = count * shared;
    const int64_t token = all.borders[sequence] + first, position = all.before[sequence] + first;
    for (int64_t row = 0; row < height; ++row) {
        const float* query = all.query + (token + row / shared) * all.query_token +
                             (head * shared + row % shared) * all.query_head;
        for (int64_t i = 0; i < d; ++i) rows.query[row * d + i] = query[i] * all.scale;
        rows.most[row] = -INFINITY;
        rows.sum[row] = 0;
    }
    std::fill_n(rows.mixed.begin(), height * wide, 0.0f);
    const int64_t last = position + count;  // one behind what the last of the tokens sees
    for (int64_t page = all.first_seen(position) / PANEL; page * PANEL < last; ++page) {
        const int64_t start = page * PANEL, filled = std::min<int64_t>(PANEL, last - start);
        const int64_t at = (all.tables[sequence * all.table_width + page] * all.key_heads + head) * PANEL;
        const auto* keys = static_cast<const Number*>(all.keys) + at * d;
        const auto* values = static_cast<const Number*>(all.values) + at * wide;
        multiply<BYTES>(rows.query.data(), d, height, keys, d, rows.scores.data(), PANEL, false);
        for (int64_t row = 0; row < height; ++row) {
            const int64_t self = position + row / shared;
            weigh<BYTES>(all, rows, row, all.first_seen(self) - start, self + 1 - start);
        }
        for (int64_t column = 0; column < wide; column += PANEL)
            multiply<BYTES>(rows.scores.data(), PANEL, height, values + column * PANEL, filled,
                            rows.mixed.data() + column, wide, true);
    }
    for (int64_t row = 0; row < height; ++row) {
        float* out = all.mixed + ((token + row / shared) * all.heads + head * shared + row % shared) * d;
        for (int64_t i = 0; i < d; ++i) out[i] = rows.mixed[row * wide + i] / rows.sum[row];
    }
}

struct Block {
    int64_t sequence, head, first, count;
};

std::vector<Block> cut_blocks(const Attention& all) {
    std::vector<Block> blocks;
    const int64_t most = std::max<int64_t>(1, BLOCK / all.shared());
    for (int64_t sequence = 0; sequence < all.sequences; ++sequence)
        for (int64_t head = 0; head < all.key_heads; ++head) {
            const int64_t tokens = all.borders[sequence + 1] - all.borders[sequence];
            for (int64_t first = 0; first < tokens; first += most)
                blocks.push_back({sequence, head, first, std::min(most, tokens - first)});
        }
    return blocks;
}

template <int BYTES>
INLINE void attend_blocks(const Attention& all, bool narrow, const std::vector<Block>& blocks,
                          const Tasks& tasks, Rows& rows) {
    for (int64_t task; tasks.take(task);) {
        const auto& [sequence, head, first, count] = blocks[task];
        narrow ? attend_block<BYTES, bf16>(all, rows, sequence, head, first, count)
               : attend_block<BYTES, float>(all, rows, sequence, head, first, count);
    }
}

// ---- by what the processor has

using MultiplyPanels = void (*)(const Product&, int, const Tasks&, int64_t);
using AttendBlocks = void (*)(const Attention&, bool, const std::vector<Block>&, const Tasks&, Rows&);

struct Kernels {
    MultiplyPanels multiply;
    AttendBlocks attend;
};

#define KERNELS(NAME, TARGET, BYTES)                                                               \
    TARGET void multiply_##NAME(const Product& all, int type, const Tasks& tasks, int64_t together) { \
        multiply_panels<BYTES>(all, type, tasks, together);                                        \
    }                                                                                              \
    TARGET void attend_##NAME(const Attention& all, bool narrow, const std::vector<Block>& blocks, \
                              const Tasks& tasks, Rows& rows) {                                    \
        attend_blocks<BYTES>(all, narrow, blocks, tasks, rows);                                    \
    }

KERNELS(plain, , 16)
#if X86
KERNELS(avx2, AVX2, 32)
KERNELS(avx512, AVX512, 64)
#endif

Kernels choose_kernels() {
#if X86
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return {multiply_avx512, attend_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {multiply_avx2, attend_avx2};
#endif
    return {multiply_plain, attend_plain};
}

const Kernels KERNELS_HERE = choose_kernels();

Team& team() {
    static Team* const all = new Team;  // never taken down: its threads use it until the process ends
    return *all;
}

void multiply_all(const Product& all, int type, int64_t threads) {
    if (all.count * all.columns * all.depth < ALONE) threads = 1;
    const int64_t panels = (all.columns + PANEL - 1) / PANEL;
    const int64_t together = std::max<int64_t>(1, panels / (threads * 8));
    const Tasks tasks((panels + together - 1) / together);
    team().share(threads, [&] { KERNELS_HERE.multiply(all, type, tasks, together); });
}

void attend_all(const Attention& all, bool narrow, int64_t threads) {
    const Tasks stores(all.sequences * all.key_heads);
    team().share(threads, [&] {
        for (int64_t task; stores.take(task);)
            narrow ? store<bf16>(all, task / all.key_heads, task % all.key_heads)
                   : store<float>(all, task / all.key_heads, task % all.key_heads);
    });
    const auto blocks = cut_blocks(all);
    const Tasks tasks(static_cast<int64_t>(blocks.size()));
    team().share(threads, [&] {
        Rows rows(all);
        KERNELS_HERE.attend(all, narrow, blocks, tasks, rows);
    });
}

// ---- Python

template <typename T>
T* address(unsigned long long at) {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(at));
}

PyObject* py_multiply(PyObject*, PyObject* args) {
    unsigned long long rows, panels, scales, bias, products;
    long long count, depth, stride, columns, threads;
    int type;
    if (!PyArg_ParseTuple(args, "(KLLL)(KiK)KKLL", &rows, &count, &depth, &stride, &panels, &type, &scales, &bias,
                          &products, &columns, &threads))
        return nullptr;
    const Product all{address<float>(rows),   count, depth, stride, address<void>(panels), address<float>(scales),
                      address<float>(bias), address<float>(products), columns};
    Py_BEGIN_ALLOW_THREADS;
    multiply_all(all, type, threads);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyObject* py_attend(PyObject*, PyObject* args) {
    unsigned long long query, key, value, keys, values, mixed, borders, before, tables;
    long long strides[6], sequences, width, heads, key_heads, d, window, threads;
    float scale, softcap;
    int narrow;
    if (!PyArg_ParseTuple(args, "(KLL)(KLL)(KLL)(KKp)K(KKKLL)LLLffLL", &query, strides, strides + 1, &key,
                          strides + 2, strides + 3, &value, strides + 4, strides + 5, &keys, &values, &narrow,
                          &mixed, &borders, &before, &tables, &sequences, &width, &heads, &key_heads, &d, &scale,
                          &softcap, &window, &threads))
        return nullptr;
    const Attention all{address<float>(query), address<float>(key), address<float>(value), strides[0], strides[1],
                        strides[2], strides[3], strides[4], strides[5], address<void>(keys),
                        address<void>(values), address<float>(mixed), address<int32_t>(borders),
                        address<int32_t>(before), address<int32_t>(tables), sequences, width, heads, key_heads, d,
                        scale, softcap, window};
    Py_BEGIN_ALLOW_THREADS;
    attend_all(all, narrow != 0, threads);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyMethodDef METHODS[] = {
    {"multiply", py_multiply, METH_VARARGS, nullptr}, {"attend", py_attend, METH_VARARGS, nullptr}, {}};

}  // namespace

PyMODINIT_FUNC PyInit__kernels() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", nullptr, -1, METHODS};
    PyObject* made = PyModule_Create(&module);
    if (made && PyModule_AddIntConstant(made, "PANEL", PANEL) < 0) Py_CLEAR(made);
    return made;
}
