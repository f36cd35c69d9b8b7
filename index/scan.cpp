// Exact search over rows that lie in blocks: the best of all, the scores of some, and which are of some documents.
//
// numpy does the same in several passes, each with an array of its own, and gives Python's lock away in every
// one of them, also where it takes a microsecond: beside busy threads that costs more than the work. A scan here
// is one pass that keeps the best rows as it goes.
//
// A score is higher for what is nearer: the cosine of vectors of length 1, the dot product, or the negative
// Euclidean distance. What takes rows away meanwhile may be seen or not.

#include "arrays.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include "codes.h"
#include "distances.h"
#include "ranking.h"
#include "threads.h"

namespace {

enum Metric { COSINE, DOT, L2 };

struct Block {
    const int64_t* seqs;
    const float* vectors;
    const bool* live;
    size_t rows;
    const int8_t* codes = nullptr;  // none, or of every row, with its scale
    const Scale* scales = nullptr;

    // Where the seq stands; `rows` if it is not here.
    size_t place_of(int64_t seq) const {
        const auto span = static_cast<size_t>(seqs[rows - 1] - seqs[0]) + 1;
        if (span == rows) return static_cast<size_t>(seq - seqs[0]);  // no gaps
        const auto place = static_cast<size_t>(std::lower_bound(seqs, seqs + rows, seq) - seqs);
        return place < rows && seqs[place] == seq ? place : rows;
    }
};

constexpr size_t CACHE_LINE = 64 / sizeof(float);

struct Query {
    const float* vector;
    size_t dim;
    long metric;

    void fetch(const Block& block, size_t row) const {
        const float* other = block.vectors + row * dim;
        for (size_t i = 0; i < dim; i += CACHE_LINE) __builtin_prefetch(other + i);
    }

    float score(const Block& block, size_t row) const {
        const float* other = block.vectors + row * dim;
        if (metric == L2) return -std::sqrt(KERNELS.square(vector, other, dim));
        const float dot = KERNELS.dot(vector, other, dim);
        return metric == COSINE ? std::clamp(dot, -1.0f, 1.0f) : dot;
    }
};

constexpr size_t STRETCH = 1024;   // rows that a thread takes at a time
constexpr size_t AHEAD = 3;        // rows that are on their way from memory while one is scored
constexpr size_t CODES_AHEAD = 8;  // and while one is looked at in eight bits

// What several threads have found. A row that scores less than `least` is not among the best of all.
class Reached {
  public:
    float least() const { return least_.load(std::memory_order_relaxed); }
    void raise(float least) {
        float known = this->least();
        while (known < least && !least_.compare_exchange_weak(known, least, std::memory_order_relaxed)) {
        }
    }

  private:
    std::atomic<float> least_{-std::numeric_limits<float>::infinity()};
};

// Goes over rows and keeps the best; one thread's.
class Scan {
  public:
    Scan(const Query& query, const CodedQuery* coded, size_t k, Reached& reached)
        : query_(query), coded_(coded), reached_(reached), best_(k) {}

    const Best& best() const { return best_; }

    void over(const Block& block, size_t first, size_t end) {
        rows_.clear();
        for (size_t row = first; row < end; ++row)
            if (block.live[row]) rows_.push_back(row);
        if (block.codes) leave_out(block);
        for (size_t n = 0; n < rows_.size(); ++n) {
            if (n + AHEAD < rows_.size()) query_.fetch(block, rows_[n + AHEAD]);
            best_.show({query_.score(block, rows_[n]), block.seqs[rows_[n]]});
        }
        reached_.raise(best_.least());
    }

  private:
    // Keeps the rows that may be among the best.
    void leave_out(const Block& block) {
        const float least = std::max(best_.least(), reached_.least());
        size_t kept = 0;
        for (size_t n = 0; n < rows_.size(); ++n) {
            if (n + CODES_AHEAD < rows_.size()) fetch_codes(block, rows_[n + CODES_AHEAD]);
            const size_t row = rows_[n];
            rows_[kept] = row;
            kept += !(coded_->most(block.codes + row * coded_->size(), block.scales[row]) < least);
        }
        rows_.resize(kept);
    }

    void fetch_codes(const Block& block, size_t row) const {
        const int8_t* codes = block.codes + row * coded_->size();
        for (size_t i = 0; i < coded_->size(); i += 64) __builtin_prefetch(codes + i);
    }

    const Query& query_;
    const CodedQuery* coded_;
    Reached& reached_;
    Best best_;
    std::vector<size_t> rows_;
};

std::vector<Scored> scan(const std::vector<Block>& blocks, const Query& query, size_t k, size_t threads) {
    std::vector<std::pair<const Block*, size_t>> stretches;  // and their first rows
    for (const Block& block : blocks)
        for (size_t row = 0; row < block.rows; row += STRETCH) stretches.emplace_back(&block, row);
    const bool in_codes = std::any_of(blocks.begin(), blocks.end(), [](const Block& block) { return block.codes; });
    std::optional<CodedQuery> coded;
    if (in_codes) coded.emplace(query.vector, query.dim, query.metric == L2);
    Reached reached;
    std::atomic<size_t> next{0};
    Best best(k);
    std::mutex joining;
    share(std::min(threads, stretches.size()), [&] {
        Scan mine(query, coded ? &*coded : nullptr, k, reached);
        for (size_t number = next++; number < stretches.size(); number = next++) {
            const auto [block, first] = stretches[number];
            mine.over(*block, first, std::min(first + STRETCH, block->rows));
        }
        const std::lock_guard<std::mutex> one(joining);
        best.show(mine.best());
    });
    return best.in_order();
}

std::vector<Scored> score(const std::vector<Block>& blocks, const Query& query, const int64_t* seqs, size_t count) {
    std::vector<int64_t> wanted(seqs, seqs + count);
    std::sort(wanted.begin(), wanted.end());
    std::vector<Scored> found;
    auto seq = wanted.begin();
    for (const Block& block : blocks) {
        seq = std::lower_bound(seq, wanted.end(), block.seqs[0]);
        for (; seq != wanted.end() && *seq <= block.seqs[block.rows - 1]; ++seq) {
            const size_t place = block.place_of(*seq);
            if (place < block.rows && block.live[place]) found.push_back({query.score(block, place), *seq});
        }
    }
    std::sort(found.begin(), found.end(), is_better);
    return found;
}

// ---- which rows are of some documents

struct Keyed {
    const int64_t* seqs;
    const int64_t* documents;
    const bool* live;
    size_t rows;
};

// Marks the rows that count and are of one of the documents; their seqs, and how many they are.
size_t match(const std::vector<Keyed>& blocks, const Among& documents, bool* live, int64_t* seqs) {
    size_t found = 0;
    for (const Keyed& block : blocks)
        for (size_t row = 0; row < block.rows; ++row) {
            const bool counts = block.live[row] & documents.has(block.documents[row]);
            *live++ = counts;
            seqs[found] = block.seqs[row];  // kept if it counts; a jump would be guessed wrong half of the time
            found += counts;
        }
    return found;
}

// ---- Python

// The arrays of all blocks, for as long as they are looked at: seqs, so many more of type T for each, and whether
// they count; then, if there are any, codes and scales.
template <typename Row, typename T>
class Blocks {
  public:
    // False, with Python's error set, if they are not what they should be.
    bool take(PyObject* given, size_t each) {
        const Py_ssize_t count = PySequence_Size(given);
        for (Py_ssize_t number = 0; number < count; ++number) {
            PyObject* block = PySequence_GetItem(given, number);
            const bool taken = block && take_one(block, each);
            Py_XDECREF(block);
            if (!taken) return false;
        }
        return count >= 0;
    }

    const std::vector<Row>& all() const { return blocks_; }
    size_t rows() const { return rows_; }

  private:
    struct Arrays {
        Array<const int64_t> seqs;
        Array<const T> more;
        Array<const bool> live;
        Array<const int8_t> codes;
        Array<const Scale> scales;
    };

    bool take_one(PyObject* block, size_t each) {
        Arrays& arrays = arrays_.emplace_back();
        if (!PyArg_ParseTuple(block, "y*y*y*|z*z*", arrays.seqs.view(), arrays.more.view(), arrays.live.view(),
                              arrays.codes.view(), arrays.scales.view()))
            return false;
        const size_t rows = arrays.seqs.size();
        const bool has_codes = arrays.codes.given() || arrays.scales.given();
        if (!rows || arrays.live.size() != rows || arrays.more.size() != rows * each ||
            (has_codes && (arrays.codes.size() != rows * coded_size(each) || arrays.scales.size() != rows))) {
            PyErr_SetString(PyExc_ValueError, "the arrays of a block do not fit each other");
            return false;
        }
        Row& taken = blocks_.emplace_back(Row{arrays.seqs.data(), arrays.more.data(), arrays.live.data(), rows});
        if constexpr (std::is_same_v<Row, Block>) {
            taken.codes = arrays.codes.data();
            taken.scales = arrays.scales.data();
        }
        rows_ += rows;
        return true;
    }

    std::deque<Arrays> arrays_;  // which stay where they are
    std::vector<Row> blocks_;
    size_t rows_ = 0;
};

// Writes what was found, best first, into a caller's arrays; how many rows that is.
PyObject* give(const std::vector<Scored>& found, Array<int64_t>& seqs, Array<float>& scores) {
    const size_t rows = std::min({found.size(), seqs.size(), scores.size()});
    for (size_t row = 0; row < rows; ++row) {
        seqs.data()[row] = found[row].seq;
        scores.data()[row] = found[row].score;
    }
    return PyLong_FromSize_t(rows);
}

PyObject* py_top(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const float> vector;
    Array<int64_t> seqs;
    Array<float> scores;
    long metric;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(args, "Oly*nw*w*", &given, &metric, vector.view(), &threads, seqs.view(), scores.view()))
        return nullptr;
    Blocks<Block, float> blocks;
    if (!blocks.take(given, vector.size())) return nullptr;
    if (!seqs.size()) return PyLong_FromLong(0);
    const Query query{vector.data(), vector.size(), metric};
    std::vector<Scored> found;
    if (!run([&] { found = scan(blocks.all(), query, seqs.size(), threads); })) return nullptr;
    return give(found, seqs, scores);
}

// Keeps Python's lock: it is asked for a few rows, and to wait for the lock again would take longer.
PyObject* py_score(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const float> vector;
    Array<const int64_t> wanted;
    Array<int64_t> seqs;
    Array<float> scores;
    long metric;
    if (!PyArg_ParseTuple(args, "Oly*y*w*w*", &given, &metric, vector.view(), wanted.view(), seqs.view(),
                          scores.view()))
        return nullptr;
    Blocks<Block, float> blocks;
    if (!blocks.take(given, vector.size())) return nullptr;
    const Query query{vector.data(), vector.size(), metric};
    std::vector<Scored> found;
    if (!guard([&] { found = score(blocks.all(), query, wanted.data(), wanted.size()); })) return nullptr;
    return give(found, seqs, scores);
}

PyObject* py_match(PyObject*, PyObject* args) {
    PyObject* given;
    Array<const int64_t> documents;
    Array<bool> live;
    Array<int64_t> seqs;
    if (!PyArg_ParseTuple(args, "Oy*w*w*", &given, documents.view(), live.view(), seqs.view())) return nullptr;
    Blocks<Keyed, int64_t> blocks;
    if (!blocks.take(given, 1)) return nullptr;
    if (live.size() != blocks.rows() || seqs.size() != blocks.rows()) {
        PyErr_SetString(PyExc_ValueError, "there must be room for every row");
        return nullptr;
    }
    size_t found = 0;
    const bool done = run([&] {
        found = match(blocks.all(), Among(documents.data(), documents.size()), live.data(), seqs.data());
    });
    return done ? PyLong_FromSize_t(found) : nullptr;
}

PyObject* py_encode(PyObject*, PyObject* args) {
    Array<const float> vectors;
    Array<int8_t> codes;
    Array<Scale> scales;
    if (!PyArg_ParseTuple(args, "y*w*w*", vectors.view(), codes.view(), scales.view())) return nullptr;
    const size_t rows = scales.size(), dim = rows ? vectors.size() / rows : 0;
    if (!dim || vectors.size() != rows * dim || codes.size() != rows * coded_size(dim)) {
        PyErr_SetString(PyExc_ValueError, "there must be room for every row");
        return nullptr;
    }
    if (!run([&] { encode(vectors.data(), rows, dim, codes.data(), scales.data()); })) return nullptr;
    Py_RETURN_NONE;
}

PyMethodDef METHODS[] = {{"top", py_top, METH_VARARGS, nullptr},
                         {"encode", py_encode, METH_VARARGS, nullptr},
                         {"score", py_score, METH_VARARGS, nullptr},
                         {"match", py_match, METH_VARARGS, nullptr},
                         {}};

}  // namespace

PyMODINIT_FUNC PyInit__scan() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", nullptr, -1, METHODS};
    PyObject* made = PyModule_Create(&module);
    for (const auto& [name, metric] : {std::pair{"COSINE", COSINE}, {"DOT", DOT}, {"L2", L2}})
        if (made && PyModule_AddIntConstant(made, name, metric) < 0) Py_CLEAR(made);
    for (const auto& [name, number] : {std::pair{"CODE_STEP", CODE_STEP}, {"SCALE_BYTES", sizeof(Scale)}})
        if (made && PyModule_AddIntConstant(made, name, static_cast<long>(number)) < 0) Py_CLEAR(made);
    return made;
}
