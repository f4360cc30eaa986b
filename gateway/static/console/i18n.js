// Words in two languages: the key is the English text. What has no translation is shown as it is.
const ARABIC = {
  "Active in week 0, 1, 2, …": "نشط في الأسبوع ٠، ١، ٢، …", "Acts of power": "إجراءات الصلاحيات", "Age of the oldest event in the outbox, seconds": "عمر أقدم حدث في صندوق الصادر، بالثواني",
  "Answers": "الإجابات", "Applied": "مُطبَّق", "Apply again": "طبّق مجددًا", "As a table": "كجدول", "As of": "حتى", "Ask": "اسأل", "Audit": "التدقيق",
  "Audit: published = applied + parked": "التدقيق: المنشور = المُطبَّق + المعلَّق", "Balances": "الموازنات", "By": "حسب", "Categories": "الفئات", "Category": "الفئة", "Charts": "الرسوم البيانية",
  "Code of your authenticator": "رمز تطبيق المصادقة", "Cohorts": "الأفواج", "Compare now": "قارن الآن", "Compare with the period before": "قارن بالفترة السابقة", "Completed": "مكتمل",
  "Completion rate": "معدل الإكمال", "Connections": "الاتصالات", "Consumer lag, seconds": "تأخر المستهلك، بالثواني", "Copied.": "نُسخ.", "Copy JSON": "انسخ JSON", "Copy SQL": "انسخ SQL", "Copy curl": "انسخ curl",
  "Course": "المقرر", "Courses": "المقررات", "Courses by category": "المقررات حسب الفئة", "Dead letters": "الأحداث المتعثرة", "Difficulty": "الصعوبة", "Discrimination": "التمييز", "Do": "إجراء", "Download": "تنزيل",
  "Drop-off": "التسرب", "E-mail": "البريد الإلكتروني", "Engagement": "التفاعل", "Enrolled": "مسجَّل", "Enrolments": "التسجيلات", "Error": "الخطأ", "Events": "الأحداث",
  "Every event has been applied.": "طُبّقت جميع الأحداث.", "Everybody on the course": "كل من في المقرر", "Export": "تصدير", "Export courses": "صدّر المقررات", "Export states of learners": "صدّر حالات المتعلمين", "Format": "الصيغة", "From": "من",
  "How courses are doing": "حال المقررات", "How hard questions are, and how well they tell learners apart": "صعوبة الأسئلة وقدرتها على التمييز بين المتعلمين", "How many": "العدد", "Key": "المفتاح", "Keys that differ": "المفاتيح المختلفة",
  "Kind": "النوع", "Lag": "التأخر", "Language": "اللغة", "Last active": "آخر نشاط", "Learner": "المتعلم", "Learners": "المتعلمون", "Learners at risk": "متعلمون معرضون للتعثر", "Lesson": "الدرس", "Lessons": "الدروس",
  "Loading…": "جارٍ التحميل…", "Look": "اعرض", "Measures": "المقاييس", "Memory at most, MB": "أقصى ذاكرة، م.ب", "Minutes": "الدقائق", "Most rows": "أقصى عدد من الصفوف", "My learning": "تعلّمي", "Name": "الاسم", "Next": "التالي",
  "Next page": "الصفحة التالية", "Nothing here.": "لا شيء هنا.", "Nothing waits any more.": "لم يعد شيء ينتظر.", "Numbers": "الأرقام", "Of": "لـ", "Of those who enrolled in a week, who was still active later": "من بين المسجلين في أسبوع، من بقي نشطًا بعده",
  "Oldest": "الأقدم", "Open": "مفتوح", "Operations": "التشغيل", "Pages": "الصفحات", "Parked": "معلَّق", "Password": "كلمة المرور", "Percent": "النسبة المئوية", "Period": "الفترة", "Platform": "المنصة", "Previous page": "الصفحة السابقة",
  "Priority": "الأولوية", "Processes": "العمليات", "Progress": "التقدم", "Progress by course": "التقدم حسب المقرر", "Published": "منشور", "Question": "السؤال", "Questions": "الأسئلة", "Quiz": "الاختبار", "Rating": "التقييم",
  "Reached": "وصلوا", "Read models of analytics": "نماذج القراءة للتحليلات", "Reason": "السبب", "Reasons": "الأسباب", "Rebuild from the event log": "أعد البناء من سجل الأحداث", "Rebuilds": "عمليات إعادة البناء", "Recent errors": "أخطاء حديثة",
  "Release": "الإصدار", "Reports": "التقارير", "Request": "الطلب", "Result": "النتيجة", "Save as report": "احفظ كتقرير", "Saved.": "حُفظ.", "Score": "الدرجة", "Service": "الخدمة", "Sign in": "تسجيل الدخول", "Sign out": "تسجيل الخروج", "Since": "منذ",
  "Sockets": "المقابس", "State": "الحالة", "Support": "الدعم", "Teaching": "تدريسي", "The digests are equal.": "البصمات متطابقة.", "The query as JSON": "الاستعلام بصيغة JSON", "The server answered": "أجاب الخادم", "Tickets": "التذاكر",
  "Tickets by priority": "التذاكر حسب الأولوية", "Time by": "الزمن حسب", "To": "إلى", "To the content": "إلى المحتوى", "Topic": "الموضوع", "Try": "جرّب", "Try again": "حاول مجددًا", "Untitled": "بلا عنوان", "Waiting": "ينتظر", "Week": "الأسبوع",
  "What": "ماذا", "What is this?": "ما هذا؟", "What waits": "ما ينتظر", "When": "متى", "When (cron)": "متى (cron)", "Who": "من", "Who reached a lesson, and who completed it": "من وصل إلى الدرس ومن أكمله", "Whom": "على من",
  "balances hold": "موازنات صحيحة", "before": "سابقًا", "days": "أيام", "dead letters": "أحداث متعثرة", "events in the outbox": "أحداث في صندوق الصادر", "no time": "بلا زمن", "not known before": "غير معروف سابقًا", "nothing": "لا شيء", "rows": "صفوف",
  "rows are about fewer than five people: their numbers are not shown.": "صفوف تخص أقل من خمسة أشخاص: لا تُعرض أرقامها.", "day": "يوم", "week": "أسبوع", "month": "شهر", "quarter": "ربع سنة", "year": "سنة",
  "Total courses": "كل المقررات", "Completed courses": "المقررات المكتملة", "Average progress": "متوسط التقدم", "Learning streak": "سلسلة التعلم", "Total quizzes": "كل الاختبارات", "Average quiz score": "متوسط درجة الاختبارات",
  "Study minutes in 7 days": "دقائق الدراسة في ٧ أيام", "Published courses": "المقررات المنشورة", "Total students": "كل المتعلمين", "Active students in 7 days": "المتعلمون النشطون في ٧ أيام", "Average course rating": "متوسط تقييم المقررات",
  "Total users": "كل المستخدمين", "Active users in 7 days": "المستخدمون النشطون في ٧ أيام", "Total enrollments": "كل التسجيلات", "Completions": "حالات الإكمال", "Certificates": "الشهادات", "Discussions": "النقاشات", "Active tickets": "التذاكر المفتوحة",
  "Active": "نشط", "In progress": "قيد التقدم", "Not started": "لم يبدأ", "Dropped": "منسحب", "Waitlisted": "في قائمة الانتظار", "Expired": "منتهٍ", "Idle": "بلا نشاط", "Never started": "لم يبدأ قط", "Low score": "درجة منخفضة",
  "Running": "يعمل", "Halted": "متوقف", "Silent": "صامت", "Away": "غائب", "Ok": "سليم", "Missing": "ناقص", "Done": "تم", "Failed": "فشل", "Queued": "في الانتظار", "Api": "واجهة", "Worker": "عامل", "Api and worker": "واجهة وعامل", "Tasks": "مهام",
  "Low": "منخفضة", "Medium": "متوسطة", "High": "عالية", "Urgent": "عاجلة", "Would apply": "سيُطبَّق", "Malformed": "مشوّه", "Gap": "فجوة", "Behind": "خلفه",
  "Activity by day": "النشاط حسب اليوم", "Enrolments and completions by day": "التسجيلات والإكمال حسب اليوم", "Enrolments by category": "التسجيلات حسب الفئة", "Growth by day": "النمو حسب اليوم",
  "Lessons reached and completed": "الدروس التي وُصل إليها وأُكملت", "Minutes studied": "دقائق الدراسة", "Questions: share of right answers": "الأسئلة: نسبة الإجابات الصحيحة", "Quiz results": "نتائج الاختبارات", "Where the learners are": "أين المتعلمون",
  "Minutes studied by day": "دقائق الدراسة حسب اليوم", "Performance": "الأداء", "You": "أنت", "Study minutes": "دقائق الدراسة", "New users": "مستخدمون جدد", "Enrollments": "التسجيلات", "Active users": "المستخدمون النشطون",
};

const KEY = "lectern.language";

export const language = () => localStorage.getItem(KEY) ?? (navigator.language.startsWith("ar") ? "ar" : "en");
export const setLanguage = (code) => localStorage.setItem(KEY, code);
export const rtl = () => language() === "ar";
export const locale = () => (rtl() ? "ar" : navigator.language.startsWith("ar") ? "en" : navigator.language);
export const t = (text) => (rtl() ? ARABIC[text] ?? text : text);

// A code of the API as words: "in_progress" → "In progress".
export function titled(code) {
  const words = String(code ?? "–").replaceAll("_", " ").replace(/^avg /, "average ").replace(/ 7d$/, " in 7 days");
  return t(words.charAt(0).toUpperCase() + words.slice(1));
}
